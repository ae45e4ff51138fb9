"""Sizes as people read them."""


def gib(size: int) -> str:
    """In GiB, or in MiB below one."""
    if abs(size) < 1 << 30:
        return f"{size / (1 << 20):.0f} MiB"
    return f"{size / (1 << 30):.1f} GiB"
