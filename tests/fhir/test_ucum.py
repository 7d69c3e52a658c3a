"""UCUM: the grammar, the table, exactness, and that nothing is guessed."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import ucum


@pytest.mark.parametrize(
    ("code", "factor", "base"),
    [
        ("kg", 1000, "g"),
        ("mg/dL", 10, "g.m-3"),
        ("10*9/L", 1e12, "m-3"),
        ("10*3/uL", 1e12, "m-3"),
        ("10^3/uL", 1e12, "m-3"),
        ("{cells}/uL", 1e9, "m-3"),
        ("mL/min/{1.73_m2}", 1 / 60e6, "m3.s-1"),
        ("mm[Hg]", 133322, "g.m-1.s-2"),
        ("cm[H2O]", 98066.5, "g.m-1.s-2"),
        ("ug/kg/min", 1e-9 / 60, "s-1"),
        ("U/L", 1e-6 / 60 * 1000, "m-3.mol.s-1"),
        ("k[iU]/L", 1e6, "[iU].m-3"),
        ("m.s-2", 1, "m.s-2"),
        ("mg/(24.h)", 0.001 / 86400, "g.s-1"),
        ("/min", 1 / 60, "s-1"),
        ("[in_i]", 0.0254, "m"),
        ("%", 0.01, "1"),
        ("{score}", 1, "1"),
        ("1", 1, "1"),
        ("dar", 10, "m2"),
        ("mo", 2629800, "s"),
        ("min", 60, "s"),
        ("cd", 1, "cd"),
        ("Pa", 1000, "g.m-1.s-2"),
        ("((m))", 1, "m"),
    ],
)
def test_what_units_mean(code: str, factor: float, base: str) -> None:
    known = ucum.unit(code)
    assert known is not None and known.code == base
    assert float(known.factor) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "xyz",
        "m(",
        "(m",
        "m)",
        "da",
        "kmin",
        "k[in_i]",
        "mCel",
        "Cel/min",
        "m//s",
        "m.",
        "m99",
        "m-",
        "kkg",
        " kg",
        "KG",
        "m" * 201,
        "(" * 50,
        "[pH]",
    ],
)
def test_what_is_no_unit_is_not_guessed_at(code: str) -> None:
    assert ucum.unit(code) is None
    assert ucum.convert(1, code, "m") is None and ucum.canonical(1, code) is None and ucum.base_range(1, 1, code) is None


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (Decimal("98.6"), "[degF]", "Cel", Decimal("37")),
        (37, "Cel", "K", Decimal("310.15")),
        (10000, "m", "km", Decimal("10")),
        (1, "a", "mo", Decimal("12")),
        (1, "[lb_av]", "[oz_av]", Decimal("16")),
        (1, "L", "m3", Decimal("0.001")),
        (1, "frob", "frob", Decimal("1")),
        (1, "mol/L", "/L", None),
        (1, "[iU]", "U", None),
        (1, "kg", "m", None),
    ],
)
def test_conversion_is_exact(value: Any, source: str, target: str, expected: Decimal | None) -> None:
    assert ucum.convert(value, source, target) == expected


def test_every_atom_of_the_table_is_understood_and_has_a_factor() -> None:
    for code in (*ucum._METRIC, *ucum._CUSTOMARY, *ucum._METRIC_BASES, *ucum._BASES, *ucum._SCALES, *ucum._THIRDS):
        known = ucum.unit(code)
        assert known is not None and known.factor > 0, code


def test_infinities_stay_open() -> None:
    assert ucum.base_range(float("-inf"), 5.0, "mg") == (float("-inf"), 0.005, "g")


@given(
    st.decimals(Decimal("-1e6"), Decimal("1e6"), places=2),
    st.sampled_from(["g", "kg", "[lb_av]", "mg", "ug", "t"]),
    st.sampled_from(["g", "kg", "mg"]),
)
@settings(max_examples=60, deadline=None)
def test_there_and_back_is_the_same(value: Decimal, source: str, target: str) -> None:
    there = ucum.convert(value, source, target)
    assert there is not None
    back = ucum.convert(there, target, source)
    assert back is not None and abs(back - value) < Decimal("1e-15")


@given(st.text(alphabet="mgskLd[](){}./-+*^0123456789%'", max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_unit_or_none(text: str) -> None:
    known = ucum.unit(text)
    assert known is None or known.factor >= 0
