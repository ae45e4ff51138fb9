"""Which rows of the list of faults and attacks are answered by a test here.

A row's test is named after it: `test_f02_…`, `test_s15_…`. Rows still to come stand in `PENDING`.
"""

COVERED = frozenset(
    {"f01", "f02", "f03", "f04", "f05", "f06", "f07", "f08", "f09", "f11", "f12", "f14", "f15"}
    | {"f16", "f20", "f21", "f22", "f23", "f24", "f25", "f27", "f28", "f29", "f30", "f31"}
    | {"s01", "s02", "s03", "s04", "s05", "s06", "s07", "s08", "s10", "s13", "s14", "s15", "s16"}
)

ALL = frozenset(
    {f"f{number:02}" for number in range(1, 33)} | {f"s{number:02}" for number in range(1, 18)}
)

PENDING = ALL - COVERED
