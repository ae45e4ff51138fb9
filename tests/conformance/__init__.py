"""What every engine has to keep to, by its contract in `xinfer/model/engine.py`.

`engines.py` lists the engines and what each promises; every test runs on all that it fits.
"""

import pytest

# Their assertions are to explain themselves as those of tests do.
pytest.register_assert_rewrite(
    "tests.conformance.company", "tests.conformance.effects", "tests.support.token_engine"
)
