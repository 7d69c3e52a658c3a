"""Quantities: a decimal and a unit, with enough of UCUM to compare what clinical records hold.

Units are metric prefixes on common base units, time, and a few customary ones, combined with `/` and `.`.
A unit that is not known compares only with itself. Calendar years and months have no fixed length and equal only themselves.
Factors: UCUM 2.1, tables 1 to 5.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_WORDS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR = {form: word for word in _WORDS for form in (word, word + "s")}
CALENDAR_TO_UCUM = dict(zip(_WORDS, ("a", "mo", "wk", "d", "h", "min", "s", "ms"), strict=True))
UCUM_TO_CALENDAR = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}
UCUM = "http://unitsofmeasure.org"


class Quantity(NamedTuple):
    """`unit` is a UCUM code, or a calendar word such as `day`; "1" where there is none."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit if self.unit in _WORDS else repr(self.unit)}"


_PREFIX = {
    "": Decimal(1), "k": Decimal(1000), "h": Decimal(100), "da": Decimal(10), "d": Decimal("0.1"), "c": Decimal("0.01"),
    "m": Decimal("0.001"), "u": Decimal("1e-6"), "n": Decimal("1e-9"), "p": Decimal("1e-12"), "M": Decimal("1e6"), "G": Decimal("1e9"),
}  # fmt: skip
_METRIC = {"m": "m", "g": "g", "s": "s", "L": "L", "l": "L", "mol": "mol", "Pa": "Pa", "J": "J", "W": "W", "Hz": "Hz", "eq": "eq",
           "V": "V", "A": "A", "K": "K", "cal": "cal", "Cel": "Cel", "U": "U", "[iU]": "[iU]", "osm": "osm", "bar": "bar"}  # fmt: skip
_CUSTOMARY = {
    "min": (Decimal(60), "s"), "h": (Decimal(3600), "s"), "d": (Decimal(86400), "s"), "wk": (Decimal(604800), "s"),
    "mo": (Decimal("2629800"), "s"), "a": (Decimal("31557600"), "s"),
    "[in_i]": (Decimal("0.0254"), "m"), "[ft_i]": (Decimal("0.3048"), "m"), "[lb_av]": (Decimal("453.59237"), "g"),
    "[oz_av]": (Decimal("28.349523125"), "g"), "t": (Decimal("1e6"), "g"), "%": (Decimal("0.01"), ""), "1": (Decimal(1), ""),
    "mm[Hg]": (Decimal("133.322"), "Pa"), "m[Hg]": (Decimal("133322"), "Pa"),
}  # fmt: skip
_ANNOTATION = re.compile(r"\{[^}]*\}")
_FACTOR = re.compile(r"(.*?)([+-]?\d+)?\Z")


@lru_cache(maxsize=2000)
def dimension(unit: str) -> tuple[Decimal, tuple[tuple[str, int], ...]] | None:
    """The factor to base units and the powers of them; None if the unit is not known."""
    factor, powers = Decimal(1), dict[str, int]()
    sign = 1
    for piece in re.split(r"([/.])", _ANNOTATION.sub("", CALENDAR_TO_UCUM.get(unit, unit)) or "1"):
        if piece in ("/", "."):
            sign = -1 if piece == "/" else 1
            continue
        match = _FACTOR.match(piece)
        atom, power = (piece, 1) if match is None or not match[2] or not match[1] else (match[1], int(match[2]))
        found = _atom(atom or "1")
        if found is None:
            return None
        factor *= found[0] ** (power * sign)
        if found[1]:
            powers[found[1]] = powers.get(found[1], 0) + power * sign
    return factor, tuple(sorted((base, power) for base, power in powers.items() if power))


def _atom(text: str) -> tuple[Decimal, str] | None:
    if text in _CUSTOMARY:
        return _CUSTOMARY[text]
    for length in (0, 1, 2):
        if text[length:] in _METRIC and text[:length] in _PREFIX:
            return _PREFIX[text[:length]], _METRIC[text[length:]]
    return None


def _calendar_only(unit: str) -> bool:
    return unit in ("year", "month")


def common(left: Quantity, right: Quantity) -> tuple[Decimal, Decimal] | None:
    """Both values in one unit; None where the units cannot be compared."""
    if left.unit == right.unit:
        return left.value, right.value
    if _calendar_only(left.unit) and _calendar_only(right.unit):
        return tuple(q.value * (12 if q.unit == "year" else 1) for q in (left, right))  # type: ignore[return-value]
    if _calendar_only(left.unit) or _calendar_only(right.unit):
        return None
    first, second = dimension(left.unit), dimension(right.unit)
    if first is None or second is None or first[1] != second[1]:
        return None
    return left.value * first[0], right.value * second[0]


def _join(left: str, right: str, operator: str) -> str:
    if right in ("1", ""):
        return left
    if operator == "/" and left == right:
        return "1"
    return right if operator == "." and left == "1" else f"{left}{operator}{right}"


def multiply(left: Quantity, right: Quantity) -> Quantity:
    """The product, in base units where both are metric (`1 cm * 1 m`), else in the units joined."""
    return Quantity(left.value * right.value, _join(left.unit, right.unit, "."))


def divide(left: Quantity, right: Quantity) -> Quantity | None:
    """The ratio; None for division by zero."""
    if right.value == 0:
        return None
    shared = common(left, right)
    if shared is not None:
        return Quantity(shared[0] / shared[1], "1")
    return Quantity(left.value / right.value, _join(left.unit, right.unit, "/"))
