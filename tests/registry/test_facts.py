"""Case facts: each rule of docs/reference/case-facts.md on hand-made resources, with the answer worked out by hand."""

import random
from datetime import date
from typing import Any

import pytest

from app import names
from app.outcomes.case_facts import CaseFacts, Factors, Infection, Operation
from app.registry.encounters import day_of
from app.registry.facts import at_day, facts_from, patient_of
from tests.registry.builders import case, diagnosis, observation, patient, procedure, stay

TODAY = date(2026, 1, 1)
INDEX = procedure("index", "2023-01-03", kind="major-emergency", stay="birth")


def facts(
    *resources: dict[str, Any], today: date = TODAY, of: str | None = None, index: dict[str, Any] | None = INDEX
) -> CaseFacts:
    told = facts_from([patient(), case(), *([index] if index else []), *resources], today, of)
    assert told is not None
    return told


def quality(id: str, day: str, level: int, **more: Any) -> dict[str, Any]:
    return observation(id, names.OUTCOME, "quality-of-life-level", day, source="parent", valueInteger=level, **more)


def test_the_least_that_makes_a_case() -> None:
    assert facts() == CaseFacts(
        case="case",
        patient="p",
        hospital="ZAA",
        condition="oesophageal-atresia",
        sex="female",
        birth_date="2023-01-01",
        index_date="2023-01-03",
        as_of="2024-01-03",
        horizon_reached=True,
        operations=(Operation("2023-01-03", "major-emergency", "operative-record", "G073"),),
    )


@pytest.mark.parametrize("born", ["2023", "2023-01"])
def test_a_date_of_birth_is_kept_as_it_was_told(born: str) -> None:
    told = facts_from([patient(birthDate=born), case(), INDEX], TODAY)
    assert told is not None
    assert told.birth_date == born
    nobody = patient()
    del nobody["birthDate"]
    unborn = facts_from([nobody, case(), INDEX], TODAY)
    assert unborn is not None
    assert unborn.birth_date is None


def test_no_case_no_facts() -> None:
    assert facts_from([patient(), INDEX], TODAY) is None
    assert facts_from([patient(), case(status="entered-in-error"), INDEX], TODAY) is None
    assert facts_from([patient(), case(), INDEX], TODAY, case="another") is None
    assert facts_from([patient(), case()], TODAY) is None  # nothing says when it began
    assert facts_from([case(), INDEX], TODAY) is None


def test_a_case_without_an_operation_begins_with_its_period() -> None:
    told = facts_from([patient(), case(period={"start": "2023-02-01"})], TODAY)
    assert told is not None
    assert (told.index_date, told.operations) == ("2023-02-01", ())


def test_dates_that_valid_resources_may_have_and_that_mean_nothing_yet() -> None:
    future = procedure("x", "9999-12-31")
    assert facts(future).operations == facts().operations
    assert facts_from([patient(), case(), future], TODAY) is None
    assert facts_from([patient(), case(period={"start": "9999-12-31T23:59:59Z"})], TODAY) is None
    assert day_of("2016-12-31T23:59:60Z") == "2016-12-31"
    assert day_of("0001-01-01T00:00:00+14:00") == "0001-01-01"
    assert day_of("9999-12-31T23:30:00-12:00") == "9999-12-31"
    assert [day_of(text) for text in ("2023", "2023-05", "2023-05-06", "", None)] == [
        "2023-01-01",
        "2023-05-01",
        "2023-05-06",
        None,
        None,
    ]


def test_a_versioned_reference_is_to_the_same_child() -> None:
    assert patient_of({"resourceType": "Encounter", "subject": {"reference": "Patient/p/_history/3"}}) == "p"
    assert patient_of({"resourceType": "Encounter", "subject": {"reference": "Group/p"}}) is None
    assert patient_of({"resourceType": "Encounter"}) is None


class TestOperations:
    def test_four_sources_of_one_theatre_visit_tell_of_one(self) -> None:
        day = "2023-03-01"
        told = [
            procedure("1", day, source="hl7v2", code="T303"),
            procedure("2", day, source="hes", code="T303"),
            procedure("3", day, source="fhir", code="T303", kind="minor-planned"),
            procedure("4", day, source="operative-record", code="T303", kind="major-emergency"),
        ]
        sources = [facts(*told[:n]).operations[1].source for n in range(1, 5)]
        assert sources == ["hl7v2", "hes", "fhir", "operative-record"]
        assert facts(*told).operations[1] == Operation(day, "major-emergency", "operative-record", "T303")

    def test_of_two_operations_in_one_visit_the_larger_counts(self) -> None:
        pair = [
            procedure("1", "2023-03-01", code="G152", kind="minor-emergency"),
            procedure("2", "2023-03-01", kind="major-planned"),
        ]
        assert [o.kind for o in facts(*pair).operations] == ["major-emergency", "major-planned"]

    def test_statistics_are_classified_by_the_admission(self) -> None:
        spells = [
            stay("planned", "2023-03-01", "2023-03-04", method="11", source="hes"),
            stay("urgent", "2023-05-01", "2023-05-04", method="21", source="hes"),
        ]
        told = facts(
            *spells,
            procedure("1", "2023-03-02", source="hes", code="G15.2", stay="planned"),
            procedure("2", "2023-05-02", source="hes", code="G15.2", stay="urgent"),
        )
        assert [o.kind for o in told.operations[1:]] == ["minor-planned", "minor-emergency"]

    def test_what_does_not_count(self) -> None:
        told = facts(
            procedure("cystogram", "2023-03-01", source="hes", code="M496"),
            procedure("another condition's", "2023-03-02", source="hes", code="M765"),
            procedure("mistake", "2023-03-03") | {"status": "entered-in-error"},
            procedure("after the horizon", "2024-01-04", source="hes", code="G152"),
            procedure("before the case", "2023-01-02", source="hes", code="G341"),
            {key: value for key, value in procedure("undated", "").items() if key != "performedDateTime"},
        )
        assert [o.on for o in told.operations] == ["2023-01-03"]

    def test_the_first_day_and_the_last_count(self) -> None:
        told = facts(procedure("last", "2024-01-03", source="hes", code="G152"))
        assert [o.on for o in told.operations] == ["2023-01-03", "2024-01-03"]

    def test_the_day_is_the_day_in_london(self) -> None:
        told = facts(procedure("x", "2023-06-30T23:30:00Z", source="fhir", kind="minor-planned"))
        assert told.operations[1].on == "2023-07-01"

    def test_without_operative_records_the_first_operation_told_is_the_index(self) -> None:
        told = facts(procedure("2", "2023-02-02", source="hes"), procedure("1", "2023-01-09", source="hl7v2"), index=None)
        assert told.index_date == "2023-01-09"

    def test_a_child_with_two_conditions_has_two_cases_with_their_own_operations(self) -> None:
        other = case("other", "posterior-urethral-valves", hospital="ZBB")
        valves = procedure("valves", "2023-02-01", code="M765", kind="minor-planned")
        atresia = facts(other, valves, of="case")
        urethra = facts(other, valves, of="other")
        assert [o.code for o in atresia.operations] == ["G073"]
        assert [o.code for o in urethra.operations] == ["M765"]
        assert (urethra.index_date, urethra.hospital) == ("2023-02-01", "ZBB")

    @pytest.mark.parametrize(
        "when",
        [
            {"performedPeriod": {"start": "2023-01-20", "end": "2023-02-15"}},
            {"performedPeriod": {"start": "2023-01", "end": "2023-02"}},
            {"performedDateTime": "2023-02"},
            {"performedDateTime": "2023"},
        ],
    )
    def test_an_operation_without_a_day_is_a_visit_only_where_no_other_can_be_it(self, when: dict[str, Any]) -> None:
        vague = procedure("vague", "", source="hes", code="T30.3")
        del vague["performedDateTime"]
        told = procedure("told", "2023-02-10", code="T30.3", kind="major-emergency")
        assert [o.on for o in facts(vague | when, told).operations] == ["2023-01-03", "2023-02-10"]

    def test_where_nobody_else_tells_of_it_it_was_on_the_first_day_that_it_may_have_been(self) -> None:
        vague = procedure("vague", "", source="hes", code="T30.3")
        del vague["performedDateTime"]
        span = {"performedPeriod": {"start": "2023-01-20", "end": "2023-02-15"}}
        assert [o.on for o in facts(vague | span).operations] == ["2023-01-03", "2023-01-20"]

    def test_an_operation_over_midnight_has_a_day(self) -> None:
        night = procedure("night", "", source="fhir", kind="major-emergency")
        del night["performedDateTime"]
        span = {"performedPeriod": {"start": "2023-02-09T22:00:00Z", "end": "2023-02-10T01:00:00Z"}}
        again = procedure("told", "2023-02-10", kind="major-emergency")
        assert [o.on for o in facts(night | span, again).operations] == ["2023-01-03", "2023-02-09", "2023-02-10"]

    def test_an_operation_belongs_to_the_condition_that_it_names(self) -> None:
        atresia, valves = (
            case(diagnosis=[{"condition": {"reference": "Condition/oa"}}]),
            case("other", "posterior-urethral-valves"),
        )
        coded = [{"system": names.CONDITION, "code": "posterior-urethral-valves"}]
        diagnosis = {"resourceType": "Condition", "id": "puv", "code": {"coding": coded}}

        def done(id: str, day: str, reason: str | None) -> dict[str, Any]:
            uncoded = procedure(id, day, kind="major-planned") | {"code": {"text": "Another procedure"}}
            return uncoded | ({"reasonReference": [{"reference": f"Condition/{reason}"}]} if reason else {})

        told = [INDEX, diagnosis, done("1", "2023-02-01", "puv"), done("2", "2023-03-01", "oa"), done("3", "2023-04-01", None)]
        days = {}
        for of in ("case", "other"):
            found = facts_from([patient(), atresia, valves, *told], TODAY, of)
            assert found is not None
            days[of] = [operation.on for operation in found.operations]
        assert days == {"case": ["2023-01-03", "2023-03-01", "2023-04-01"], "other": ["2023-02-01", "2023-04-01"]}

    def test_two_cases_of_one_condition_left_by_a_merge_are_one(self) -> None:
        left = [case("b", period={"start": "2023-01-03"}), case("a", period={"start": "2023-02-01"})]
        second = procedure("2", "2023-02-01", kind="major-planned")
        told = facts_from([patient(), *left, INDEX, second], TODAY)
        assert told is not None
        assert (told.case, len(told.operations)) == ("b", 2)
        assert facts_from([patient(), *left, INDEX, second], TODAY, "a") is None


class TestInfections:
    def test_one_for_each_stay_whoever_tells_of_it(self) -> None:
        told = facts(
            stay("hl7", "2023-03-01T09:00:00+00:00", "2023-03-05", source="hl7v2"),
            stay("hes", "2023-03-01", "2023-03-05", source="hes"),
            diagnosis("1", "N39.0", stay="hl7"),
            diagnosis("2", "N390", stay="hes", source="hes"),
            diagnosis("3", "A41.9", stay="hes", source="hes"),
        )
        assert told.infections == (Infection("2023-03-01", "A419", "hes"),)

    def test_the_first_stay_counts_although_it_began_before_the_operation(self) -> None:
        told = facts(stay("birth", "2023-01-01", "2023-02-01"), diagnosis("1", "P36.9", stay="birth"))
        assert [i.on for i in told.infections] == ["2023-01-01"]

    def test_stays_outside_the_time_of_the_case_do_not(self) -> None:
        told = facts(
            stay("before", "2023-01-01", "2023-01-02"),
            stay("after", "2024-01-04", "2024-01-06"),
            diagnosis("1", "P36.9", stay="before"),
            diagnosis("2", "N39.0", stay="after"),
        )
        assert told.infections == ()

    def test_a_diagnosis_without_encounter_belongs_to_the_stay_of_its_day(self) -> None:
        spell = stay("s", "2023-03-01", "2023-03-05")
        assert [i.on for i in facts(spell, diagnosis("1", "N39.0", day="2023-03-03")).infections] == ["2023-03-01"]
        assert facts(spell, diagnosis("1", "N39.0", day="2023-03-09")).infections == ()

    def test_an_outpatient_contact_or_a_refuted_diagnosis_is_none(self) -> None:
        clinic = stay("clinic", "2023-03-01", "2023-03-01") | {"class": {"code": "AMB"}}
        refuted = diagnosis("2", "N39.0", stay="ward") | {"verificationStatus": {"coding": [{"code": "refuted"}]}}
        told = facts(clinic, diagnosis("1", "N39.0", stay="clinic"), stay("ward", "2023-04-01", "2023-04-02"), refuted)
        assert told.infections == ()


class TestReadmissions:
    BIRTH = stay("birth", "2023-01-01", "2023-02-01", method="82", source="hes")

    @pytest.mark.parametrize(
        ("day", "method", "count"),
        [
            ("2023-02-01", "21", 1),
            ("2023-03-02", "21", 1),  # day 29
            ("2023-03-03", "21", 0),  # day 30
            ("2023-02-10", "11", 0),
            ("2023-02-10", "2B", 0),
            ("2023-02-10", "81", 0),
        ],
    )
    def test_emergencies_0_to_29_days_after_discharge(self, day: str, method: str, count: int) -> None:
        assert facts(self.BIRTH, stay("again", day, day, method=method, source="hes")).emergency_readmissions == count

    def test_the_last_discharge_before_it_counts(self) -> None:
        later = stay("planned", "2023-04-01", "2023-04-03", method="11", source="hes")
        again = stay("again", "2023-04-20", "2023-04-22", method="22", source="hes")
        assert facts(self.BIRTH, later, again).emergency_readmissions == 1

    def test_two_sources_of_the_same_readmission_are_one(self) -> None:
        again = [stay(source, "2023-02-10", "2023-02-12", method="21", source=source) for source in ("hes", "hl7v2", "fhir")]
        assert facts(self.BIRTH, *again).emergency_readmissions == 1


class TestMovedOnTheDayOfAdmission:
    """Born in one hospital and moved to the one that operates: one stay, from the first admission to the last discharge."""

    BIRTH = stay("birth", "2023-01-03", "2023-01-03", method="82", source="hes", hospital="ZCC")
    AGAIN = stay("again", "2023-04-01", "2023-04-03", method="21", source="hes", hospital="ZAA")
    INFECTED = diagnosis("d", "A41.9", stay="moved", day="2023-01-03")
    LATER = procedure("index", "2023-01-05", kind="major-planned")

    def moved(self, source: str, end: str | None = "2023-03-20") -> dict[str, Any]:
        return stay("moved", "2023-01-03", end, method="81", source=source, hospital="ZAA")

    @pytest.mark.parametrize("source", ["hes", "fhir", "hl7v2"])
    def test_its_infection_and_the_readmission_after_it_count(self, source: str) -> None:
        told = facts(self.BIRTH, self.moved(source), self.AGAIN, self.INFECTED, index=self.LATER)
        assert [i.on for i in told.infections] == ["2023-01-03"]
        assert told.emergency_readmissions == 1

    def test_who_is_still_in_there_is_still_in(self) -> None:
        assert facts(self.BIRTH, self.moved("hes", None), self.INFECTED, index=self.LATER).infections

    def test_of_each_hospital_the_best_source_tells_the_discharge(self) -> None:
        site = stay("site", "2023-01-03", "2023-03-25", source="hl7v2", hospital="ZAA01")
        late = stay("late", "2023-04-21", "2023-04-22", method="21", source="hes")
        soon = stay("soon", "2023-04-18", "2023-04-19", method="21", source="hes")
        stays = (self.BIRTH, self.moved("hes"), site)
        assert facts(*stays, soon, index=self.LATER).emergency_readmissions == 1  # 29 days after 20 March
        assert facts(*stays, late, index=self.LATER).emergency_readmissions == 0  # 27 days after 25 March

    def test_of_two_stays_that_one_source_tells_the_last_discharge_counts(self) -> None:
        ward = stay("ward", "2023-01-03", "2023-01-04", source="fhir")
        whole = stay("moved", "2023-01-03", "2023-03-20", source="fhir")
        assert facts(ward, whole, self.AGAIN, index=self.LATER).emergency_readmissions == 1
        assert facts(ward, whole, self.INFECTED, index=self.LATER).infections

    def test_the_admission_is_the_first_hospitals(self) -> None:
        first = stay("first", "2023-03-01", "2023-03-01", method="21", source="hl7v2", hospital="ZCC")
        moved = stay("on", "2023-03-01", "2023-03-09", method="81", source="hes", hospital="ZAA")
        told = facts(stay("birth", "2023-01-01", "2023-02-20", method="82", source="hes"), first, moved)
        assert told.emergency_readmissions == 1


class TestDeath:
    def test_ends_the_case(self) -> None:
        told = facts_from(
            [patient(deceasedDateTime="2023-06-01"), case(), INDEX, procedure("x", "2023-06-02", source="hes", code="G152")],
            TODAY,
        )
        assert told is not None
        assert (told.died_on, told.as_of, told.horizon_reached, len(told.operations)) == ("2023-06-01", "2023-06-01", True, 1)
        assert told.outcome_known

    def test_after_the_horizon_does_not_change_the_outcome_at_the_horizon(self) -> None:
        told = facts_from([patient(deceasedDateTime="2024-02-01"), case(), INDEX], TODAY)
        assert told is not None
        assert (told.died_on, told.as_of, told.horizon_reached) == (None, "2024-01-03", True)

    def test_is_known_from_the_discharge_where_the_patient_lacks_it(self) -> None:
        assert facts(stay("birth", "2023-01-01", "2023-02-01", out="4")).died_on == "2023-02-01"

    def test_without_a_day_is_the_last_day_in_hospital(self) -> None:
        told = facts_from([patient(deceasedBoolean=True), case(), INDEX, stay("birth", "2023-01-01", "2023-02-01")], TODAY)
        assert told is not None
        assert told.died_on == "2023-02-01"

    @pytest.mark.parametrize(
        ("told", "day"),
        [
            ({"deceasedDateTime": "2023"}, "2023-04-10"),
            ({"deceasedDateTime": "2023-04"}, "2023-04-10"),
            ({"deceasedBoolean": True}, "2023-04-10"),
            ({"deceasedDateTime": "2023-06"}, "2023-06-01"),  # the first day that it may have been
            ({"deceasedDateTime": "2023-03"}, "2023-03-31"),  # the last
            ({"deceasedDateTime": "2022"}, "2023-03-05"),
            ({"deceasedDateTime": "2023-03-04"}, "2023-03-05"),
            ({"deceasedDateTime": "2025"}, None),  # after the horizon
        ],
    )
    def test_a_day_not_told_is_the_last_in_hospital_in_that_time_and_never_before_the_operation(
        self, told: dict[str, Any], day: str | None
    ) -> None:
        first, second = procedure("1", "2023-03-05", kind="major-planned"), procedure("2", "2023-04-10", kind="minor-emergency")
        found = facts_from([patient(**told), case(), first, second, stay("birth", "2023-03-01", "2023-03-20")], TODAY)
        assert found is not None
        assert (found.died_on, found.index_date) == (day, "2023-03-05")
        assert found.operations[0].on == "2023-03-05"


class TestQualityOfLife:
    def test_the_answer_nearest_the_horizon(self) -> None:
        told = facts(quality("early", "2023-10-20", 3), quality("near", "2024-01-10", 1), quality("late", "2025-01-01", 2))
        assert (told.quality_of_life, told.quality_of_life_on) == (1, "2024-01-10")

    def test_an_answer_of_the_first_weeks_or_of_school_age_tells_of_another_time(self) -> None:
        assert facts(quality("weeks", "2023-02-01", 3), quality("school", "2028-06-01", 2)).quality_of_life is None

    def test_a_late_answer_is_better_than_none(self) -> None:
        assert facts(quality("late", "2025-12-01", 0)).quality_of_life == 0

    def test_levels_that_do_not_exist_and_withdrawn_answers_are_no_answers(self) -> None:
        withdrawn = quality("2", "2024-01-03", 1) | {"status": "entered-in-error"}
        assert facts(quality("1", "2024-01-03", 4), withdrawn).quality_of_life is None

    def test_an_answer_about_another_case_is_not_about_this(self) -> None:
        about = quality("x", "2024-01-03", 2, focus=[{"reference": "EpisodeOfCare/other"}])
        assert facts(about).quality_of_life is None

    @pytest.mark.parametrize("status", ["active", "entered-in-error"])
    def test_an_answer_about_the_case_that_a_merge_left_aside_is_about_this(self, status: str) -> None:
        about = quality("x", "2024-01-03", 2, focus=[{"reference": "EpisodeOfCare/left"}])
        left = case("left", hospital="ZBB", status=status, period={"start": "2023-01-04"})
        told = facts_from([patient(), case(period={"start": "2023-01-03"}), left, INDEX, about], TODAY)
        assert told is not None
        assert (told.case, told.quality_of_life) == ("case", 2)
        other = case("left", "posterior-urethral-valves")
        assert facts(other, about, of="case").quality_of_life is None


def test_the_horizon_comes_with_time_alone() -> None:
    early = facts(today=date(2023, 6, 1))
    assert (early.as_of, early.horizon_reached) == ("2023-06-01", False)
    assert at_day(early, date(2023, 7, 1)).as_of == "2023-07-01"
    assert at_day(early, TODAY) == facts()


def test_factors_from_either_vocabulary() -> None:
    day = "2023-01-03"

    def factor(code: str, **value: Any) -> dict[str, Any]:
        return observation(code, names.CHILD_FACTOR, code, day, **value)

    told = facts(
        observation("weight", names.LOINC, "8339-4", day, valueQuantity={"value": 2.45, "unit": "kg", "code": "kg"}),
        factor("gestation", valueQuantity={"value": 259, "unit": "days", "code": "d"}),
        factor("major-cardiac-anomaly", valueBoolean=True),
        factor("chromosomal-anomaly", valueBoolean=False),
        factor("other-anomaly", valueCodeableConcept={"coding": [{"system": names.SNOMED, "code": "373066001"}]}),
        factor("antenatal-diagnosis", dataAbsentReason={"text": "not asked"}),
        factor("severity", valueCodeableConcept={"coding": [{"system": names.CHILD_FACTOR, "code": "oa-long-gap"}]}),
    )
    assert told.factors == Factors(37.0, 2450.0, True, False, True, None, "oa-long-gap", 2)


@pytest.mark.parametrize(
    ("code", "value", "amount"),
    [
        ("8339-4", {"valueQuantity": {"value": 3.2, "unit": "KG"}}, 3200),
        ("8339-4", {"valueQuantity": {"value": 3.2, "unit": "kilograms"}}, 3200),
        ("8339-4", {"valueQuantity": {"value": 3200, "unit": "grams"}}, 3200),
        ("8339-4", {"valueQuantity": {"value": 3.2, "unit": "Kg", "code": "258683005"}}, 3200),
        ("8339-4", {"valueInteger": 3200}, 3200),
        ("8339-4", {"valueQuantity": {"value": 7, "unit": "lb", "code": "[lb_av]"}}, None),
        ("8339-4", {"valueQuantity": {"value": 3.2, "code": "wk"}}, None),
        ("8339-4", {"valueQuantity": {"value": 3.2}}, None),
        ("11884-4", {"valueQuantity": {"value": 259, "unit": "days"}}, 37),
        ("11884-4", {"valueQuantity": {"value": 37, "unit": "Weeks"}}, 37),
        ("11884-4", {"valueInteger": 37}, 37),
        ("11884-4", {"valueQuantity": {"value": 9, "unit": "months", "code": "mo"}}, None),
    ],
)
def test_an_amount_counts_in_a_unit_that_is_known(code: str, value: dict[str, Any], amount: float | None) -> None:
    told = facts(observation("x", names.LOINC, code, "2023-01-03", **value)).factors
    assert (told.birth_weight_g if code == "8339-4" else told.gestation_weeks) == amount


def test_a_severity_class_of_another_condition_says_nothing() -> None:
    other = observation(
        "s",
        names.CHILD_FACTOR,
        "severity",
        "2023-01-03",
        valueCodeableConcept={"coding": [{"system": names.CHILD_FACTOR, "code": "nec-focal"}]},
    )
    assert facts(other).factors.severity is None


def test_the_surgeons_factor_wins_over_the_messages() -> None:
    pair = [
        observation(source, names.CHILD_FACTOR, "gestation", day, source=source, valueQuantity={"value": weeks, "code": "wk"})
        for source, day, weeks in (("hl7v2", "2023-01-09", 31), ("operative-record", "2023-01-03", 36))
    ]
    assert facts(*pair).factors.gestation_weeks == facts(*reversed(pair)).factors.gestation_weeks == 36


def test_who_does_not_know_takes_nothing_from_who_does() -> None:
    absent = {"dataAbsentReason": {"coding": [{"code": "unknown"}]}}
    other_class = {"valueCodeableConcept": {"coding": [{"system": names.CHILD_FACTOR, "code": "nec-focal"}]}}
    known: dict[str, dict[str, Any]] = {
        "birth-weight": {"valueQuantity": {"value": 900, "code": "g"}},
        "gestation": {"valueQuantity": {"value": 31, "code": "wk"}},
        "major-cardiac-anomaly": {"valueBoolean": True},
        "severity": {"valueCodeableConcept": {"coding": [{"system": names.CHILD_FACTOR, "code": "oa-long-gap"}]}},
    }
    unknown: dict[str, dict[str, Any]] = {
        "birth-weight": absent,
        "gestation": {"valueQuantity": {"value": 7, "unit": "months"}},
        "major-cardiac-anomaly": {"valueCodeableConcept": {"coding": [{"system": names.SNOMED, "code": "261665006"}]}},
        "severity": other_class,
    }
    told = [
        observation(f"{code} {source}", names.CHILD_FACTOR, code, day, source=source, **value)
        for values, source, day in ((known, "hl7v2", "2023-01-02"), (unknown, "operative-record", "2023-01-03"))
        for code, value in values.items()
    ]
    found = facts(*told).factors
    assert (found.birth_weight_g, found.gestation_weeks, found.severity) == (900, 31, "oa-long-gap")
    assert found.major_cardiac_anomaly is True


def test_the_order_of_the_resources_never_matters() -> None:
    resources = [
        patient(),
        case(),
        INDEX,
        case("other", "posterior-urethral-valves"),
        stay("birth", "2023-01-01", "2023-02-01", method="82"),
        stay("birth-hes", "2023-01-01", "2023-02-02", method="82", source="hes"),
        stay("again", "2023-02-20", "2023-02-22", method="21", source="hes"),
        stay("again-fhir", "2023-02-20", "2023-02-23", source="fhir"),
        procedure("1", "2023-02-21", source="hes", code="G152", stay="again"),
        procedure("2", "2023-02-21", source="hl7v2", code="G153", stay="again"),
        procedure("3", "2023-02-21", source="hes", code="G183", stay="again"),
        diagnosis("d1", "A41.9", stay="again"),
        diagnosis("d2", "N39.0", stay="again-fhir", source="fhir"),
        diagnosis("d3", "P36.9", day="2023-01-20"),
        quality("q1", "2024-01-01", 2),
        quality("q2", "2024-01-05", 1),
    ]
    expected = facts_from(resources, TODAY, "case")
    assert expected is not None
    assert (len(expected.operations), len(expected.infections), expected.emergency_readmissions) == (2, 2, 1)
    shuffler = random.Random(7)
    for _ in range(100):
        shuffler.shuffle(resources)
        assert facts_from(resources, TODAY, "case") == expected
