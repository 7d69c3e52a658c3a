"""Whole numbers that others wrote: 0 to 9, and no more of them than asked for. `str.isdigit` also takes `²`, of which `int` makes no number."""


def whole_number(text: str, most: int = 9) -> int | None:
    """None for whatever has anything but one to `most` of 0 to 9 in it."""
    return int(text) if len(text) <= most and text.isascii() and text.isdigit() else None
