"""Spells and continuous stays: the published rules on hand-made rows, and what must hold for any rows."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.intake.hes.episodes import Episode
from app.intake.hes.spells import Spell, continuous, emergency_readmissions, provider_spells
from app.registry.operations import is_emergency_admission
from tests.intake.hes.builders import episode


def keys(spells: list[Spell]) -> list[list[str]]:
    return [[each.key for each in spell.episodes] for spell in spells]


def test_episodes_with_one_admission_date_are_one_spell_told_by_first_and_last() -> None:
    rows = [
        episode(
            "3", order=3, start="2023-02-01", end="2023-02-05", discharged="2023-02-05", discharge_method="1", destination="19"
        ),
        episode("1", order=1, admission_method="82"),
        episode("2", order=2, start="2023-01-10", end="2023-02-01"),
    ]
    [spell] = provider_spells(rows)
    assert keys([spell]) == [["1", "2", "3"]]
    assert (spell.admitted, spell.discharged, spell.first.admission_method) == ("2023-01-01", "2023-02-05", "82")


def test_the_same_start_is_the_same_spell_although_the_admission_dates_differ() -> None:
    rows = [episode("1"), episode("2", order=2, admitted="2022-12-31", start="2023-01-01", end="2023-01-20")]
    assert keys(provider_spells(rows)) == [["1", "2"]]


@pytest.mark.parametrize(("method", "together"), [("8", True), ("9", True), ("1", False), ("", False)])
def test_a_spell_that_had_not_ended_goes_on(method: str, together: bool) -> None:
    rows = [episode("1", discharge_method=method), episode("2", admitted="2023-01-10", start="2023-01-10", end="2023-01-12")]
    assert len(provider_spells(rows)) == (1 if together else 2)


def test_a_gap_ends_even_an_unfinished_spell() -> None:
    rows = [episode("1", discharge_method="8"), episode("2", admitted="2023-01-11", start="2023-01-11", end="2023-01-12")]
    assert len(provider_spells(rows)) == 2


def test_another_provider_is_another_spell() -> None:
    assert keys(provider_spells([episode("1"), episode("2", provider="ZBB")])) == [["1"], ["2"]]


def test_an_episode_told_twice_counts_once_as_told_last() -> None:
    [spell] = provider_spells([episode("1", line=9, discharge_method="4"), episode("1", line=2)])
    assert [each.line for each in spell.episodes] == [9]


def test_death_and_discharge() -> None:
    def of(**fields: str) -> Spell:
        return provider_spells([episode(**fields)])[0]

    assert of(discharge_method="4", discharged="2023-01-09").died == "2023-01-09"
    assert of(discharge_method="4").died == "2023-01-10"  # the end of the episode
    assert of(discharge_method="1", discharged="2023-01-10").died == ""
    assert of(discharge_method="8", discharged="").discharged == ""
    assert of(discharge_method="1", discharged="").discharged == "2023-01-10"


def stay(key: str, admitted: str, discharged: str, provider: str = "ZAA", **more: str) -> Episode:
    told = {"admitted": admitted, "start": admitted, "end": discharged, "discharged": discharged, "discharge_method": "1"}
    return episode(key, provider=provider, **(told | more))


@pytest.mark.parametrize(
    ("gap", "left", "came", "variant", "joined"),
    [
        (0, {"destination": "51"}, {}, "epidm", True),
        (2, {"destination": "51"}, {}, "epidm", True),
        (3, {"destination": "51"}, {}, "epidm", False),
        (3, {"destination": "51"}, {}, "health-foundation", True),
        (4, {"destination": "51"}, {}, "health-foundation", False),
        (1, {}, {"admission_source": "49"}, "epidm", True),
        (1, {}, {"admission_source": "49"}, "health-foundation", False),
        (1, {"destination": "84"}, {}, "epidm", True),
        (1, {"destination": "84"}, {}, "health-foundation", False),
        (1, {}, {"admission_method": "81"}, "epidm", True),
        (1, {}, {"admission_method": "2B"}, "health-foundation", True),
        (1, {"destination": "19"}, {"admission_method": "21"}, "epidm", False),
        (1, {"destination": "19"}, {"admission_source": "51", "admission_method": "21"}, "epidm", False),
        (1, {"destination": "19"}, {"admission_source": "51", "admission_method": "21"}, "health-foundation", True),
        (1, {"destination": "51"}, {"patient_class": "3"}, "epidm", False),
    ],
)
def test_stays_are_joined_over_transfers(
    gap: int, left: dict[str, str], came: dict[str, str], variant: str, joined: bool
) -> None:
    second = (date(2023, 1, 10) + timedelta(days=gap)).isoformat()
    spells = provider_spells([stay("1", "2023-01-01", "2023-01-10", **left), stay("2", second, "2023-02-20", "ZBB", **came)])
    assert len(continuous(spells, variant)) == (1 if joined else 2)


def test_a_transfer_is_no_readmission() -> None:
    rows = [
        stay("1", "2023-01-01", "2023-01-10", destination="51"),
        stay("2", "2023-01-10", "2023-01-20", "ZBB", admission_method="2B"),
        stay("3", "2023-02-18", "2023-02-20", admission_method="21"),  # day 29
        stay("4", "2023-03-23", "2023-03-24", admission_method="21"),  # day 31
    ]
    stays = continuous(provider_spells(rows))
    assert [len(each) for each in stays] == [2, 1, 1]
    assert emergency_readmissions(stays, is_emergency_admission) == 1


@st.composite
def histories(draw: st.DrawFn) -> list[Episode]:
    """Some weeks of one person in two hospitals, with all sorts of coincidences."""
    rows = []
    for key in range(draw(st.integers(1, 8))):
        start = date(2023, 1, 1) + timedelta(days=draw(st.integers(0, 12)))
        end = start + timedelta(days=draw(st.integers(0, 5)))
        rows.append(
            episode(
                str(key),
                line=key + 2,
                provider=draw(st.sampled_from(("ZAA", "ZBB"))),
                admitted=(start - timedelta(days=draw(st.integers(0, 2)))).isoformat(),
                start=start.isoformat(),
                end=end.isoformat(),
                order=draw(st.integers(1, 3)),
                discharged=draw(st.sampled_from(("", end.isoformat()))),
                discharge_method=draw(st.sampled_from(("", "1", "4", "8"))),
                destination=draw(st.sampled_from(("", "19", "51"))),
                admission_method=draw(st.sampled_from(("11", "21", "81"))),
            )
        )
    return rows


@settings(max_examples=150)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters_and_no_row_is_lost(rows: list[Episode], chance: object) -> None:
    expected = provider_spells(rows)
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert provider_spells(shuffled) == expected
    assert sorted(each.key for spell in expected for each in spell.episodes) == sorted(each.key for each in rows)
    assert all(len({each.provider for each in spell.episodes}) == 1 for spell in expected)
    for variant in ("epidm", "health-foundation"):
        assert continuous(provider_spells(shuffled), variant) == continuous(expected, variant)
        assert sorted(keys([spell for stay in continuous(expected, variant) for spell in stay])) == sorted(keys(expected))


@settings(max_examples=100)
@given(histories())
def test_neighbouring_spells_of_a_provider_could_not_have_been_one(rows: list[Episode]) -> None:
    spells = provider_spells(rows)
    for before, after in pairwise(spells):
        if before.provider == after.provider:
            last, first = before.last, after.first
            assert last.admitted != first.admitted
            assert last.start != first.start
            assert not (last.discharge_method in ("8", "9") and first.start == last.end)
