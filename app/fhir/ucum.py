"""UCUM: what a unit code means, so that quantities in different units can be compared.

The whole grammar (prefixes, exponents, `.` and `/`, parentheses, annotations) over a table of the units that health records use; factors are
exact fractions. What must stay true: a code that is not understood is never guessed at, it compares only with itself. Two departures from the
letter of UCUM: the mole stays a base unit, so that mol/L and 1/L differ; and arbitrary units such as [iU] are base units of their own.

Source: The Unified Code for Units of Measure, version 2.1, tables 1 to 23. Not here: logarithmic units ([pH], B, Np) and other special ones.
"""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

SYSTEM = "http://unitsofmeasure.org"
MAX_LENGTH, MAX_DEPTH, MAX_POWER = 200, 20, 40

Powers = tuple[tuple[str, int], ...]


class Unit(NamedTuple):
    """`value * factor + offset` is the value in base units; `powers` are those of the base units, by name."""

    factor: Fraction
    powers: Powers
    offset: Fraction = Fraction(0)

    @property
    def code(self) -> str:
        """The product of base units as a UCUM code: `g.m-3`; `1` for a mere number."""
        return ".".join(base if power == 1 else f"{base}{power}" for base, power in self.powers) or "1"


_PREFIXES = {
    name: Fraction(10) ** power
    for name, power in (
        ("Y", 24), ("Z", 21), ("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("h", 2), ("da", 1), ("d", -1), ("c", -2),
        ("m", -3), ("u", -6), ("n", -9), ("p", -12), ("f", -15), ("a", -18), ("z", -21), ("y", -24),
    )
} | {"Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40)}  # fmt: skip

_METRIC_BASES = ("m", "s", "g", "rad", "K", "C", "cd", "mol", "[iU]", "bit")
_BASES = (
    "[arb'U]", "[USP'U]", "[GPL'U]", "[MPL'U]", "[APL'U]", "[beth'U]", "[anti'Xa'U]", "[todd'U]", "[PFU]", "[CFU]", "[FFU]", "[BAU]", "[AU]",
    "[CCID_50]", "[TCID_50]", "[EID_50]", "[Amb'a'1'U]", "[PNU]", "[Lf]", "[D'ag'U]", "[FEU]", "[ELU]", "[EU]", "[dye'U]", "[smgy'U]",
    "[bdsk'U]", "[ka'U]", "[knk'U]", "[mclg'U]", "[tb'U]",
)  # fmt: skip

# code -> (number, of what); metric ones take prefixes
_METRIC = {
    "sr": ("1", "rad2"), "Hz": ("1", "s-1"), "N": ("1000", "g.m/s2"), "Pa": ("1", "N/m2"), "J": ("1", "N.m"), "W": ("1", "J/s"),
    "A": ("1", "C/s"), "V": ("1", "J/C"), "F": ("1", "C/V"), "Ohm": ("1", "V/A"), "S": ("1", "A/V"), "Wb": ("1", "V.s"), "T": ("1", "Wb/m2"),
    "H": ("1", "Wb/A"), "lm": ("1", "cd.sr"), "lx": ("1", "lm/m2"), "Bq": ("1", "s-1"), "Gy": ("1", "J/kg"), "Sv": ("1", "J/kg"),
    "l": ("1", "dm3"), "L": ("1", "dm3"), "ar": ("100", "m2"), "t": ("1000", "kg"), "bar": ("1e5", "Pa"), "u": ("1.6605402e-24", "g"),
    "eV": ("1.60217733e-19", "J"), "dyn": ("1", "g.cm/s2"), "erg": ("1", "dyn.cm"), "P": ("1", "dyn.s/cm2"), "St": ("1", "cm2/s"),
    "G": ("1e-4", "T"), "Ci": ("3.7e10", "Bq"), "R": ("2.58e-4", "C/kg"), "RAD": ("100", "erg/g"), "REM": ("1", "RAD"), "Gal": ("1", "cm/s2"),
    "cal": ("4.184", "J"), "cal_th": ("4.184", "J"), "m[H2O]": ("9806.65", "Pa"), "m[Hg]": ("133322", "Pa"), "eq": ("1", "mol"),
    "osm": ("1", "mol"), "kat": ("1", "mol/s"), "U": ("1", "umol/min"), "[IU]": ("1", "[iU]"), "By": ("8", "bit"), "g%": ("1", "g/dL"),
}  # fmt: skip
_CUSTOMARY = {
    "10*": ("10", ""), "10^": ("10", ""), "[pi]": ("3.1415926535897932384626433832795", ""), "%": ("0.01", ""), "[ppth]": ("1e-3", ""),
    "[ppm]": ("1e-6", ""), "[ppb]": ("1e-9", ""), "[pptr]": ("1e-12", ""), "min": ("60", "s"), "h": ("60", "min"), "d": ("24", "h"),
    "wk": ("7", "d"), "a_j": ("365.25", "d"), "a_t": ("365.24219", "d"), "a_g": ("365.2425", "d"), "a": ("365.25", "d"),
    "mo": ("30.4375", "d"), "mo_j": ("30.4375", "d"), "mo_s": ("29.53059", "d"), "mo_g": ("30.436875", "d"),
    "deg": ("0.017453292519943295769236907684886", "rad"), "gon": ("0.9", "deg"), "[g]": ("9.80665", "m/s2"), "[lbf_av]": ("1", "[lb_av].[g]"),
    "atm": ("101325", "Pa"), "[psi]": ("1", "[lbf_av]/[in_i]2"), "Ao": ("0.1", "nm"), "b": ("100", "fm2"), "mho": ("1", "S"),
    "[in_i]": ("2.54", "cm"), "[ft_i]": ("12", "[in_i]"), "[yd_i]": ("3", "[ft_i]"), "[mi_i]": ("5280", "[ft_i]"), "[nmi_i]": ("1852", "m"),
    "[kn_i]": ("1", "[nmi_i]/h"), "[sin_i]": ("1", "[in_i]2"), "[sft_i]": ("1", "[ft_i]2"), "[cin_i]": ("1", "[in_i]3"),
    "[cft_i]": ("1", "[ft_i]3"), "[gal_us]": ("231", "[in_i]3"), "[qt_us]": ("0.25", "[gal_us]"), "[pt_us]": ("0.5", "[qt_us]"),
    "[gil_us]": ("0.25", "[pt_us]"), "[foz_us]": ("0.25", "[gil_us]"), "[fdr_us]": ("0.125", "[foz_us]"), "[tbs_us]": ("0.5", "[foz_us]"),
    "[cup_us]": ("16", "[tbs_us]"), "[foz_m]": ("30", "mL"), "[cup_m]": ("240", "mL"), "[tsp_m]": ("5", "mL"), "[tbs_m]": ("15", "mL"),
    "[gal_br]": ("4.54609", "L"), "[pt_br]": ("0.125", "[gal_br]"), "[foz_br]": ("0.00625", "[gal_br]"), "[gr]": ("64.79891", "mg"),
    "[lb_av]": ("7000", "[gr]"), "[oz_av]": ("0.0625", "[lb_av]"), "[dr_av]": ("0.0625", "[oz_av]"), "[ston_av]": ("2000", "[lb_av]"),
    "[lton_av]": ("2240", "[lb_av]"), "[stone_av]": ("14", "[lb_av]"), "[lb_ap]": ("5760", "[gr]"), "[oz_ap]": ("480", "[gr]"),
    "[dr_ap]": ("60", "[gr]"), "[sc_ap]": ("20", "[gr]"), "[lb_tr]": ("5760", "[gr]"), "[oz_tr]": ("480", "[gr]"), "[car_m]": ("0.2", "g"),
    "[Cal]": ("1", "kcal_th"), "[Btu]": ("1055.05585262", "J"), "[in_i'H2O]": ("1", "m[H2O].[in_i]/m"), "[in_i'Hg]": ("1", "m[Hg].[in_i]/m"),
    "[PRU]": ("1", "mm[Hg].s/mL"), "[wood'U]": ("1", "mm[Hg].min/L"), "[diop]": ("1", "m-1"), "[drp]": ("0.05", "mL"), "[HPF]": ("1", ""),
    "[LPF]": ("100", ""), "[S]": ("1e-13", "s"), "[MET]": ("3.5", "mL/min/kg"), "[acr_us]": ("4046.872609874252", "m2"),
}  # fmt: skip
# Scales with a zero of their own: (factor, offset) to kelvin. They stand alone, without prefix, exponent or product.
_SCALES = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
    "[degRe]": (Fraction(5, 4), Fraction("273.15")),
}
_THIRDS = {
    "[tsp_us]": (Fraction(1, 3), "[tbs_us]"),
    "[Ch]": (Fraction(1, 3), "mm"),
    "'": (Fraction(1, 60), "deg"),
    "''": (Fraction(1, 3600), "deg"),
}

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_COMPONENT = re.compile(
    r"10\*|10\^|\d+|(?:[^\s\d./(){}\[\]+-]|\[[^\[\]\s]*\])(?:[^\s./(){}\[\]+-]|\[[^\[\]\s]*\])*?(?=[+-]?\d*(?:[./)]|$))"
)
_POWER = re.compile(r"[+-]?\d+")


@lru_cache(maxsize=4000)
def unit(code: str) -> Unit | None:
    """The meaning of a UCUM code; None if it is none, or one that is not in the table."""
    if len(code) > MAX_LENGTH:
        return None
    plain = _ANNOTATION.sub("", code)
    if plain in _SCALES:
        factor, offset = _SCALES[plain]
        return Unit(factor, (("K", 1),), offset)
    if not plain:
        return Unit(Fraction(1), ()) if code else None
    # an annotation alone, as in {cells}/uL, is a 1
    text = re.sub(r"(^|[./(])\{[^{}]*\}(?=$|[./)])", r"\g<1>1", code)
    reader = _Reader(_ANNOTATION.sub("", text))
    try:
        found = reader.term(0)
    except _Unknown:
        return None
    return found if reader.at == len(reader.text) else None


def canonical(value: Decimal | int | float, code: str) -> tuple[float, str] | None:
    """The value in base units and their code: `canonical(5.4, "mg/dL")` is `(54.0, "g.m-3")`. None where the code means nothing here."""
    known = unit(code)
    return None if known is None else (float(Fraction(value) * known.factor + known.offset), known.code)


@lru_cache(maxsize=4000)
def _scale(code: str) -> tuple[Decimal, Decimal, Decimal, str] | None:
    """Numerator, denominator and offset to base units, and their code."""
    known = unit(code)
    if known is None:
        return None
    offset = Decimal(known.offset.numerator) / Decimal(known.offset.denominator)
    return Decimal(known.factor.numerator), Decimal(known.factor.denominator), offset, known.code


def base_range(low: float, high: float, code: str) -> tuple[float, float, str] | None:
    """A range in base units, and their code; an open side (an infinity) stays open. None where the code means nothing here.

    Computed in decimals, so that the same quantity comes to the same floats from whatever unit it is written in.
    """
    scale = _scale(code)
    if scale is None:
        return None
    bottom = _based(low, scale)
    return bottom, bottom if low == high else _based(high, scale), scale[3]


def _based(value: float, scale: tuple[Decimal, Decimal, Decimal, str]) -> float:
    # a float says its own shortest decimal: the one that was written
    return float(Decimal(repr(value)) * scale[0] / scale[1] + scale[2])


def convert(value: Decimal | int, source: str, target: str) -> Decimal | None:
    """The value in another unit, to 28 digits; None where the units do not measure the same thing or are not known."""
    if source == target:
        return Decimal(value)
    one, other = unit(source), unit(target)
    if one is None or other is None or one.powers != other.powers:
        return None
    exact = (Fraction(value) * one.factor + one.offset - other.offset) / other.factor
    return Decimal(exact.numerator) / Decimal(exact.denominator)


class _Unknown(Exception):
    """Not a unit of the table."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def accept(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def term(self, depth: int) -> Unit:
        if depth > MAX_DEPTH:
            raise _Unknown
        found = Unit(Fraction(1), ())
        sign = -1 if self.accept("/") else 1
        while True:
            found = _times(found, self.component(depth), sign)
            if self.accept("."):
                sign = 1
            elif self.accept("/"):
                sign = -1
            else:
                return found

    def component(self, depth: int) -> Unit:
        if self.accept("("):
            inner = self.term(depth + 1)
            if not self.accept(")"):
                raise _Unknown
            return inner
        match = _COMPONENT.match(self.text, self.at)
        if match is None:
            raise _Unknown
        self.at = match.end()
        if match[0].isdigit():
            if len(match[0]) > MAX_POWER or not int(match[0]):
                raise _Unknown
            return Unit(Fraction(int(match[0])), ())
        found = _atom(match[0])
        power = _POWER.match(self.text, self.at)
        if power is None:
            return found
        self.at = power.end()
        if len(power[0]) > 3 or abs(int(power[0])) > MAX_POWER:
            raise _Unknown
        return _times(Unit(Fraction(1), ()), found, int(power[0]))


def _times(one: Unit, other: Unit, power: int) -> Unit:
    powers = dict(one.powers)
    for base, each in other.powers:
        powers[base] = powers.get(base, 0) + each * power
    factor = one.factor * other.factor**power
    if abs(len(str(factor.numerator)) - len(str(factor.denominator))) > 250:
        raise _Unknown
    return Unit(factor, tuple(sorted((base, each) for base, each in powers.items() if each)))


@lru_cache(maxsize=1000)
def _atom(text: str) -> Unit:
    if text in _METRIC_BASES or text in _BASES:
        return Unit(Fraction(1), ((text, 1),))
    for table in (_CUSTOMARY, _METRIC):
        if text in table:
            number, of = table[text]
            return _defined(Fraction(number), of)
    if text in _THIRDS:
        return _defined(*_THIRDS[text])
    for length in (2, 1):
        rest = text[length:]
        if text[:length] in _PREFIXES and (rest in _METRIC or rest in _METRIC_BASES):
            found = _atom(rest)
            return Unit(_PREFIXES[text[:length]] * found.factor, found.powers)
    raise _Unknown


def _defined(number: Fraction, of: str) -> Unit:
    return _times(Unit(number, ()), unit(of) or Unit(Fraction(1), ()), 1)
