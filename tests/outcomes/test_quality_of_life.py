import pytest

from app.fhir.errors import BusinessRule, NotFound
from app.outcomes import quality_of_life
from app.outcomes.quality_of_life import Instrument, quality_of_life_level

URL = "https://csor.example.org/Questionnaire/parent-quality-of-life-demonstration"


def test_every_total_has_a_level_that_never_gets_better_as_answers_get_worse() -> None:
    levels = [quality_of_life_level(URL, total) for total in range(16)]
    assert levels == [0] * 3 + [1] * 4 + [2] * 4 + [3] * 5
    assert quality_of_life_level(f"{URL}|0.1.0", 3) == 1


def test_an_instrument_where_more_is_better() -> None:
    own = {"u": Instrument("u", "scale of 0 to 100", best=100, worst=0, worst_of=[75, 50, 25, 0])}
    assert [quality_of_life_level("u", total, own) for total in (100, 75, 74, 50, 26, 25, 24, 0)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_cannot_be_mapped_is_refused() -> None:
    with pytest.raises(NotFound):
        quality_of_life_level("https://example.org/other", 3)
    with pytest.raises(BusinessRule, match="outside"):
        quality_of_life_level(URL, 16)
    assert set(quality_of_life.demonstration()) == {URL}
