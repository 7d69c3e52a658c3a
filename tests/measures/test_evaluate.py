"""Known numbers end to end, and who sees what."""

from collections import Counter
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pytest

from app import clock
from app.fhir.errors import BadRequest, Forbidden, NotFound
from app.measures import artefacts
from app.measures.columns import columns_of, flags_of, row_of, shelf
from app.measures.definition import shipped, shipped_ids
from app.measures.evaluate import evaluate, evaluate_hospitals
from app.measures.fitting import fit, fit_all
from app.measures.period import period
from app.measures.rules import rules
from app.measures.tally import tally
from app.outcomes import case_mix
from app.outcomes.case_facts import CaseFacts
from app.registry.consumer import KIND, CaseFactsConsumer
from app.security.access import PUBLIC, SANDBOX, SHARED, SYSTEM, Access
from app.store.consumer import CURSOR
from app.store.protocol import DeleteRecord, Put, Store
from tests.measures.conftest import put, small_nation
from tests.outcomes.cases import case, nation, operations

HOSPITAL = Access("h", "hospital", frozenset({"ZA1"}))
MEASURE = "treatment-success"


def counts(cell: dict[str, Any]) -> dict[str, int]:
    return {each["code"]["coding"][0]["code"]: each.get("count") for each in cell["population"]}


def parts(cell: dict[str, Any], name: str) -> dict[str, Any]:
    found = [each for each in cell.get("extension", []) if each["url"].endswith(f"/measure-{name}")]
    inner = found[0]["extension"] if found else []
    return {each["url"]: next(value for key, value in each.items() if key.startswith("value")) for each in inner}


def truth(hospital: str | None = None, years: tuple[str, str] = ("2022-01-01", "2024-12-31")) -> Counter[str]:
    """Straight from the cases: a poor outcome is death or the worst quality of life."""
    found: Counter[str] = Counter()
    for facts in small_nation():
        if (hospital is None or facts.hospital == hospital) and years[0] <= facts.index_date <= years[1]:
            known = facts.died_on is not None or facts.quality_of_life is not None
            found.update(cases=1, known=known, good=facts.quality_of_life == 0, unknown=not known)
    return found


async def test_counts_of_a_hospital_are_those_of_its_children(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    report = await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", reporter="Organization/za1")
    true, group = truth("ZA1"), report["group"][0]
    assert counts(group) == {
        "initial-population": true["cases"],
        "denominator": true["cases"],
        "denominator-exception": true["unknown"],
        "numerator": true["good"],
    }
    assert float(group["measureScore"]["value"]) == pytest.approx(true["good"] / true["known"], abs=5e-5)
    told = parts(group, "completeness")
    assert told["unknown"] == true["unknown"]
    assert float(told["known"]) == pytest.approx(true["known"] / true["cases"], abs=5e-5)
    assert float(told["boundLow"]) == pytest.approx(true["good"] / true["cases"], abs=5e-5)
    assert float(told["boundHigh"]) == pytest.approx((true["good"] + true["unknown"]) / true["cases"], abs=5e-5)
    strata = group["stratifier"][0]["stratum"]
    assert sum(counts(stratum)["initial-population"] for stratum in strata) == true["cases"]
    assert report["reporter"]["identifier"]["value"] == "ZA1"


async def test_expected_adds_up_to_observed_and_the_bad_hospital_stands_out(nation_store: Store) -> None:
    model = await fit(nation_store, MEASURE)
    reports = await evaluate_hospitals(nation_store, SYSTEM, MEASURE, "2022", "2024")
    assert [report["reporter"]["identifier"]["value"] for report in reports] == [f"ZA{n}" for n in range(10)]
    told = [parts(report["group"][0], "comparison") for report in reports]
    assert sum(float(each["expected"]) for each in told) == pytest.approx(truth()["good"], abs=0.06)
    for report, each in zip(reports, told, strict=True):
        observed = counts(report["group"][0])["numerator"]
        assert float(each["ratio"]) == pytest.approx(observed / float(each["expected"]), abs=1e-3)
        assert each["ratioLow"] < each["ratio"] < each["ratioHigh"]
        assert each["model"] == model.canonical
    assert told[3]["band"]["text"] == "fewer good outcomes than expected" and told[3]["signal"] == "alarm"
    together = (await evaluate(nation_store, SANDBOX, MEASURE, "2022", "2024"))["group"][0]
    assert counts(together)["numerator"] == truth()["good"]
    assert "band" not in parts(together, "comparison")


async def test_the_period_is_that_of_the_first_operation(nation_store: Store) -> None:
    report = await evaluate(nation_store, SANDBOX, MEASURE, "2022-03", "2022-03")
    assert counts(report["group"][0])["initial-population"] == truth(years=("2022-03-01", "2022-03-31"))["cases"] > 0
    assert report["period"] == {"start": "2022-03-01", "end": "2022-03-31"}
    empty = await evaluate(nation_store, SANDBOX, MEASURE, "1999", "1999")
    assert counts(empty["group"][0])["initial-population"] == 0 and "measureScore" not in empty["group"][0]


async def test_small_numbers_are_for_the_hospital_itself(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    own = await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", reporter="ZA1")
    assert "masked" not in str(own)
    for access in (SANDBOX, Access("n", "national", None), Access("o", "hospital", frozenset({"ZA2"}))):
        report = await evaluate(nation_store, access, MEASURE, "2022", "2024", reporter="ZA1")
        hidden = 0
        for cell in [report["group"][0], *report["group"][0]["stratifier"][0]["stratum"]]:
            exact = next(each for each in cells_of(own) if each["value"] == cell.get("value"))
            true = counts(exact)
            known = true["denominator"] - true["denominator-exception"]
            if any(1 <= n <= 7 for n in (known, true["numerator"], known - true["numerator"])):
                hidden += 1
                assert set(counts(cell).values()) == {None}
                assert all(each["_count"]["extension"][0]["valueCode"] == "masked" for each in cell["population"])
                assert "measureScore" not in cell and not parts(cell, "completeness")
                assert set(parts(cell, "comparison")) <= {"band", "signal", "model"}
        assert hidden > 0


def cells_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    group = report["group"][0]
    return [{**group, "value": None}, *group["stratifier"][0]["stratum"]]


async def test_all_together_hides_what_is_small_from_those_who_may_not_see_the_children(store: Store) -> None:
    await put(store, [case(case=f"c{n}", patient=f"p{n}", hospital=f"ZA{n}") for n in range(4)])
    assert counts((await evaluate(store, SANDBOX, MEASURE, "2023", "2023"))["group"][0])["numerator"] == 4
    assert counts((await evaluate(store, HOSPITAL, MEASURE, "2023", "2023"))["group"][0])["numerator"] is None


async def test_a_case_of_an_unknown_hospital_counts_in_the_whole_alone(store: Store) -> None:
    await put(store, [case(case="a"), case(case="b", hospital="")])
    assert counts((await evaluate(store, SANDBOX, MEASURE, "2023", "2023"))["group"][0])["initial-population"] == 2
    assert len(await evaluate_hospitals(store, SYSTEM, MEASURE, "2023", "2023")) == 1
    with pytest.raises(NotFound):
        await evaluate(store, SANDBOX, MEASURE, "2023", "2023", reporter="")


async def test_a_measure_of_ones_own_counts_ones_own_children_alone(nation_store: Store) -> None:
    """Else a criterion could single out one child of another hospital."""
    from app.store.protocol import Put

    own = {**shipped("infection").resource, "id": "mine", "url": "https://example.org/Measure/mine"}
    await nation_store.commit(SYSTEM, [Put(own, owners=frozenset({"*"}))])
    report = await evaluate(nation_store, HOSPITAL, "mine", "2022", "2024")
    assert counts(report["group"][0])["initial-population"] == truth("ZA1")["cases"]
    assert counts((await evaluate(nation_store, SANDBOX, "mine", "2022", "2024"))["group"][0])["initial-population"] == 800


async def test_nobody_gets_a_child_that_they_may_not_read(nation_store: Store) -> None:
    mine, other = "child-01-00003", "child-02-00003"
    report = await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", report_type="subject", subject=f"Patient/{mine}")
    assert report["type"] == "individual" and report["subject"] == {"reference": f"Patient/{mine}"}
    assert counts(report["group"][0])["initial-population"] == 1
    with pytest.raises(NotFound):
        await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", report_type="subject", subject=f"Patient/{other}")
    listed = await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", report_type="subject-list")
    named = {entry["item"]["reference"] for each in listed["contained"] for entry in each.get("entry", [])}
    assert named == {f"Patient/{facts.patient}" for facts in small_nation() if facts.hospital == "ZA1"}
    with pytest.raises(NotFound):
        await evaluate(nation_store, HOSPITAL, MEASURE, "2022", "2024", report_type="subject-list", reporter="ZA2")
    for access in (PUBLIC, Access("p", "parent", frozenset(), patient="x")):
        with pytest.raises(Forbidden):
            await evaluate(nation_store, access, MEASURE, "2022", "2024")


async def test_the_score_of_a_child_comes_with_interval_age_and_weights(store: Store) -> None:
    await put(store, [case(operations=operations("major-planned", "major-emergency"), quality_of_life=1)])
    report = await evaluate(store, SANDBOX, MEASURE, "2023", "2023", report_type="subject", subject="Patient/p1")
    (score,) = report["contained"]
    assert float(score["valueQuantity"]["value"]) == pytest.approx(1 - (0.03 + 0.06 + 0.22) / 2.2, abs=5e-5)
    low, high = (score["component"][0]["valueRange"][end]["value"] for end in ("low", "high"))
    assert low < score["valueQuantity"]["value"] < high
    assert score["component"][1]["valueQuantity"]["value"] == 366
    assert "demonstration" in score["component"][2]["valueString"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reporter": "ZZ9"}, NotFound),
        ({"report_type": "subject"}, BadRequest),
        ({"report_type": "everything"}, BadRequest),
        ({"report_type": "subject", "subject": "Patient/nobody"}, NotFound),
    ],
)
async def test_questions_that_mean_nothing_are_refused(
    nation_store: Store, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await evaluate(nation_store, SANDBOX, MEASURE, "2022", "2024", **options)


@pytest.mark.parametrize("name", ["no-such", "https://example.org/Measure/treatment-success", "treatment-success|9.9"])
async def test_unknown_measures_are_refused(nation_store: Store, name: str) -> None:
    with pytest.raises(NotFound, match="There is no measure"):
        await evaluate(nation_store, SANDBOX, name, "2022", "2024")


async def test_a_measure_is_known_by_id_and_by_canonical(nation_store: Store) -> None:
    canonical = shipped(MEASURE).canonical
    for name in (MEASURE, f"Measure/{MEASURE}", canonical, canonical.partition("|")[0]):
        assert (await evaluate(nation_store, SANDBOX, name, "2022", "2024"))["measure"] == canonical


async def test_columns_follow_the_facts_and_the_calendar(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(
        store, [case(case="a"), case(case="b", patient="p2", index_date="2025-06-01", as_of="2025-12-31", horizon_reached=False)]
    )
    cupboard, definition = shelf(store), shipped(MEASURE)

    async def numerator() -> list[bool]:
        columns = await cupboard.columns()
        flags = await cupboard.flags(definition, columns)
        return (flags.member["numerator"] & flags.member["denominator"]).tolist()

    assert await numerator() == [True, False]
    assert await cupboard.columns() is await cupboard.columns()
    await put(store, [case(case="a", quality_of_life=3), case(case="c", patient="p3")])
    assert await numerator() == [False, False, True]
    monkeypatch.setattr(clock, "today", lambda: date(2026, 6, 1))
    assert await numerator() == [False, True, True]


async def test_facts_that_went_and_came_again_are_read_again(store: Store) -> None:
    """Their revisions, and those of the consumer's place, begin anew."""
    await put(store, [case(case="a", hospital="ZA1")])
    assert (await shelf(store).columns()).hospitals == ("ZA1",)
    cursor = DeleteRecord(CURSOR, CaseFactsConsumer.name)
    await store.commit(SYSTEM, [DeleteRecord(KIND, "a"), cursor])
    await put(store, [case(case="a", hospital="ZA2")])
    assert (await shelf(store).columns()).hospitals == ("ZA2",)


async def test_more_measures_than_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.measures.columns._MEASURES", 1)
    await put(store, [case(case="a")])
    for quality in (0, 3):
        columns = await shelf(store).columns()
        for measure in shipped_ids():
            assert len((await shelf(store).flags(shipped(measure), columns)).stratum) == 1
        await put(store, [case(case="a", quality_of_life=quality)])


async def test_a_reader_with_the_columns_of_before_spoils_nothing_for_the_next(store: Store) -> None:
    """One had its columns when a case changed, and asks for the flags when another has the new ones already."""
    await put(store, [case(case="a")])
    cupboard, definition = shelf(store), shipped(MEASURE)
    before = await cupboard.columns()
    assert (await cupboard.flags(definition, before)).member["numerator"].tolist() == [True]
    await put(store, [case(case="a", quality_of_life=3)])
    after = await cupboard.columns()
    assert after is not before
    assert (await cupboard.flags(definition, before)).member["numerator"].tolist() == [True]
    assert (await cupboard.flags(definition, after)).member["numerator"].tolist() == [False]


async def test_a_model_on_other_factors_is_not_applied(nation_store: Store) -> None:
    model = await fit(nation_store, MEASURE, save=False)
    specification = msgspec.structs.replace(case_mix.demonstration(), flags=["major_cardiac_anomaly"])
    names = case_mix.factor_names(specification)
    size = len(names)
    other = msgspec.structs.replace(
        model, specification=specification, factors=names, coefficients=[0.0] * size, covariance=np.eye(size).tolist()
    )
    await artefacts.save_model(nation_store, other)
    report = await evaluate(nation_store, SYSTEM, MEASURE, "2022", "2024", reporter="ZA1")
    assert not parts(report["group"][0], "comparison")


async def test_a_hospitals_model_is_in_force_for_nobody(nation_store: Store) -> None:
    model = await fit(nation_store, MEASURE, save=False)
    library = case_mix.to_library(model, day="2026-01-01")
    await nation_store.commit(HOSPITAL, [Put(library)])
    report = await evaluate(nation_store, SYSTEM, MEASURE, "2022", "2024", reporter="ZA1")
    assert not parts(report["group"][0], "comparison")
    for told in (Put(library, owners=frozenset()), Put(library, owners=frozenset({SHARED}))):  # a site's own, and one fitted here
        await nation_store.commit(SYSTEM, [told])
        report = await evaluate(nation_store, SYSTEM, MEASURE, "2022", "2024", reporter="ZA1")
        assert parts(report["group"][0], "comparison")


async def test_rare_outcomes_do_not_stop_the_other_models(nation_store: Store) -> None:
    models, refused = await fit_all(nation_store)
    assert {model.outcome.rpartition("/")[2].partition("|")[0] for model in models} == {MEASURE, "survival-to-one-year"}
    assert set(refused) == {"infection", "unplanned-reoperation"}


def bands(cases: list[CaseFacts]) -> list[str]:
    columns, definition = columns_of(cases, date(2026, 1, 1)), shipped(MEASURE)
    flags = flags_of([row_of(columns, n, definition) for n in range(len(cases))], definition)
    span = period("2022", "2024")
    known = flags.member["denominator"] & ~flags.member["denominator-exception"]
    model = case_mix.fit(
        columns.design[known],
        flags.member["numerator"][known].astype(np.int64),
        [facts.case for facts, k in zip(cases, known, strict=True) if k],
        [facts.index_date for facts, k in zip(cases, known, strict=True) if k],
        outcome=definition.canonical,
        specification=case_mix.demonstration(),
    )
    counted = tally(columns, flags, definition, span, model, rules())
    return [found.band for n in counted.reporting() if (found := counted.cell(n, own=True).comparison)]


def test_ten_hospitals_that_are_alike_seldom_stand_out_and_a_bad_one_does() -> None:
    """Ten nations, from the cases through the model to the band: at most 1 in 20 flagged, give or take three standard errors."""
    alike = [band for seed in range(10) for band in bands(nation(100, seed=seed))]
    assert len(alike) == 100
    flagged = sum(band in ("better", "fewer-good") for band in alike)
    assert flagged <= 100 * 0.05 + 3 * np.sqrt(100 * 0.05 * 0.95)
    told = bands(nation(150, seed=99, shift={4: 1.5}))
    assert told[4] == "fewer-good" and told.count("fewer-good") == 1


async def test_few_children_without_any_outcome_or_before_their_year_are_hidden_from_others_alone(store: Store) -> None:
    def more(number: int, **changes: Any) -> list[CaseFacts]:
        return [
            case(case=f"{changes['hospital']}-{n}", patient=f"{changes['hospital']}-{n}", quality_of_life=None, **changes)
            for n in range(number)
        ]

    silent = more(3, hospital="ZB9", index_date="2023-03-01", as_of="2024-02-29")
    recent = more(2, hospital="ZC9", horizon_reached=False, index_date="2025-12-01", as_of="2025-12-30")
    nearly = more(5, hospital="ZA2", index_date="2023-03-01", as_of="2024-02-29")  # whose others are all known
    await put(store, [*nation(60, hospitals=4), *silent, *recent, *nearly])
    nearly_told = counts((await evaluate(store, HOSPITAL, MEASURE, "2022", "2024", reporter="ZA2"))["group"][0])
    assert nearly_told["denominator-exception"] == 5
    for ods, span in (("ZB9", ("2022", "2024")), ("ZC9", ("2025-12", "2025"))):
        others = await evaluate(store, Access("o", "hospital", frozenset({"ZA3"})), MEASURE, *span, reporter=ods)
        assert set(counts(others["group"][0]).values()) == {None} and not parts(others["group"][0], "completeness")
        own = await evaluate(store, Access("o", "hospital", frozenset({ods})), MEASURE, *span, reporter=ods)
        assert None not in counts(own["group"][0]).values()
