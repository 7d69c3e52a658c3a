"""The demonstration tables: what counts, and of which kind it is."""

import json

import pytest
from fhir.resources.R4B import get_fhir_model_class

from app import names
from app.content import TERMINOLOGY
from app.fhir.codec import decode
from app.fhir.validation import validate
from app.registry.factors import severities
from app.registry.operations import classify, counts_for, is_emergency_admission, is_infection, operation, plain_code

OA, HD, NEC = names.CONDITIONS[0], names.CONDITIONS[2], names.CONDITIONS[5]


@pytest.mark.parametrize(
    ("code", "method", "is_index", "urgency", "kind"),
    [
        ("T281", "82", True, None, "major-emergency"),  # birth spell: the pathway of gastroschisis
        ("T28.1", "82", True, "planned", "major-planned"),  # what the surgeon said wins
        ("G073", "11", True, None, "major-planned"),  # and so does an elective admission
        ("T164", "81", True, None, "major-planned"),  # transfer spell: the pathway of diaphragmatic hernia
        ("M765", None, True, None, "minor-planned"),
        ("G152", "11", False, None, "minor-planned"),
        ("G152", "21", False, None, "minor-emergency"),
        ("T303", "82", False, None, "major-emergency"),  # reopening in the birth spell was not planned
        ("G753", "81", False, None, "major-planned"),  # closing a stoma was
        ("M496", "11", False, None, None),  # a cystogram is no operation that counts
        ("Y752", "21", False, None, None),
        ("", None, True, None, None),
    ],
)
def test_kind(code: str, method: str | None, is_index: bool, urgency: str | None, kind: str | None) -> None:
    assert classify(code, admission_method=method, is_index=is_index, urgency=urgency) == kind


def test_the_pathway_is_that_of_the_condition_of_the_case() -> None:
    # An ileostomy may be the first operation of either: NEC is an emergency, Hirschsprung's disease is planned.
    kinds = [classify("G742", admission_method="82", is_index=True, urgency=None, condition=c) for c in (NEC, HD)]
    assert kinds == ["major-emergency", "major-planned"]


def test_four_characters_come_before_three() -> None:
    assert operation("T281")["code"] == "T281"  # type: ignore[index]
    assert operation("G693")["code"] == "G69"  # type: ignore[index]
    assert operation("T289") is None


def test_an_operation_belongs_to_its_conditions_and_a_central_line_to_all() -> None:
    assert counts_for("G073", OA)
    assert not counts_for("G073", NEC)
    assert all(counts_for("L911", condition) for condition in names.CONDITIONS)


@pytest.mark.parametrize("code", ["P36.9", "P369", "A419", "N390", "N10X", "J18.9", "T81.4", "B377", "K650", "A04.7"])
def test_infections(code: str) -> None:
    assert is_infection(code)


@pytest.mark.parametrize("code", ["Q39.1", "P77X", "B37.0", "N391", "T810", "K65", ""])
def test_not_infections(code: str) -> None:
    assert not is_infection(code)


def test_enterocolitis_counts_only_with_hirschsprungs_disease() -> None:
    assert is_infection("K529", HD)
    assert not is_infection("K529", OA)
    assert not is_infection("K529")


def test_codes_without_their_padding() -> None:
    assert [plain_code(code) for code in ("P77X", "q39.1", "A170D", "J17.0*", " T28.1 ", "R69X3")] == [
        "P77",
        "Q391",
        "A170D",
        "J170",
        "T281",
        "R69",
    ]


def test_transfers_and_births_are_no_emergency_admissions() -> None:
    assert [is_emergency_admission(method) for method in ("21", "2A", "2B", "81", "82", "11", None)] == [True, True, *[False] * 5]


@pytest.mark.parametrize("path", sorted(TERMINOLOGY.glob("*.json")), ids=lambda path: path.stem)
def test_terminology_is_fhir_or_says_that_it_is_a_demonstration(path: object) -> None:
    content = decode(path.read_bytes())  # type: ignore[attr-defined]
    if "resourceType" in content:
        assert [issue for issue in validate(content) if issue.severity in ("error", "fatal")] == []
        get_fhir_model_class(content["resourceType"]).model_validate_json(path.read_bytes())  # type: ignore[attr-defined]
    else:
        assert content["status"] == "demonstration"
        assert content["title"].startswith("Demonstration")


def test_code_systems_and_names_agree() -> None:
    def listed(name: str) -> tuple[str, ...]:
        system = json.loads((TERMINOLOGY / f"{name}.json").read_bytes())
        assert system["url"] == names.canonical("CodeSystem", name)
        return tuple(concept["code"] for concept in system["concept"])

    assert listed("condition") == names.CONDITIONS
    assert listed("operation-kind") == names.OPERATION_KINDS
    assert listed("source") == names.SOURCES
    assert "quality-of-life-level" in listed("outcome")


def test_each_condition_has_severity_classes_of_grade_0_to_2() -> None:
    for condition in names.CONDITIONS:
        grades = {grade for of, grade in severities().values() if of == condition}
        assert {0, 2} <= grades <= {0, 1, 2}


def test_the_operation_table_speaks_of_known_conditions() -> None:
    table = json.loads((TERMINOLOGY / "operations-opcs4.json").read_bytes())
    codes = [row["code"] for row in table["operations"]]
    assert len(codes) == len(set(codes))
    assert set(table["pathway"]) == set(names.CONDITIONS)
    for row in table["operations"]:
        assert set(row["conditions"]) <= set(names.CONDITIONS)
        assert row["size"] in ("major", "minor")
    primary = {
        c for row in table["operations"] for c in (row["conditions"] if row["role"] == "primary" else row.get("also_primary", ()))
    }
    assert primary == set(names.CONDITIONS)
