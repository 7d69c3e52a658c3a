"""The table says what the standard says, and comes from HL7's package by the script beside it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from app.fhir.definitions import Element, build, published, r4, table
from app.fhir.definitions.value_sets import Expander

PACKAGE = "hl7.fhir.r4.core-4.0.1"


def element(type_name: str, name: str) -> Element:
    found = r4().element(type_name, name)
    assert found is not None
    return found


def test_size_of_the_standard() -> None:
    definitions = r4()
    assert len(definitions.resources) == 146
    assert len(definitions.primitives) == 20
    assert sum(bool(each.expression) for each in definitions.search_parameters) == 1384
    assert set(definitions.compartments) == {"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}
    assert len(definitions.operations) == 47


def test_elements_come_with_what_their_base_gives_first() -> None:
    names = list(r4().elements("Patient"))
    assert names[:6] == ["id", "meta", "implicitRules", "language", "text", "contained"]
    assert names[-1] == "link"
    assert list(r4().elements("Age")) == ["id", "extension", "value", "comparator", "unit", "system", "code"]
    assert r4().ancestors("Patient") == ("Patient", "DomainResource", "Resource")


def test_cardinality_types_and_lists() -> None:
    given = element("HumanName", "given")
    assert (given.min, given.max, given.types, given.is_list) == (0, None, ("string",), True)
    assert not element("Patient", "birthDate").is_list
    assert element("Observation", "code").min == 1
    assert element("Resource", "id").types == ("id",)
    assert element("Extension", "url").is_xml_attribute


def test_choices_answer_to_their_bare_and_their_json_names() -> None:
    assert element("Patient", "multipleBirth").types == ("boolean", "integer")
    assert element("Patient", "multipleBirthInteger").types == ("integer",)
    assert set(element("Patient", "deceased").json_names) == {"deceasedBoolean", "deceasedDateTime"}
    assert r4().element("Patient", "deceasedString") is None
    assert r4().element("Nobody", "id") is None


def test_backbone_elements_are_types_named_by_their_path() -> None:
    assert element("Patient", "contact").types == ("Patient.contact",)
    assert element("Patient.contact", "name").types == ("HumanName",)
    assert element("Questionnaire.item", "item").types == ("Questionnaire.item",)


def test_reference_targets_code_lists_and_flags() -> None:
    assert element("Encounter", "subject").targets == ("Patient", "Group")
    assert element("Provenance", "target").targets == ()
    gender = element("Patient", "gender")
    assert r4().value_sets[gender.codes]["http://hl7.org/fhir/administrative-gender"] == ("male", "female", "other", "unknown")
    assert element("Patient", "active").is_modifier
    assert not element("Patient", "photo").is_summary


def test_every_type_that_an_element_names_is_in_the_table() -> None:
    definitions = r4()
    named = {kind for name in definitions.types for each in definitions.elements(name).values() for kind in each.types}
    assert named - set(definitions.types) == set()
    assert all(each.types for name in definitions.types for each in definitions.elements(name).values())


def test_every_code_list_that_an_element_names_is_in_the_table_and_lists_something() -> None:
    definitions = r4()
    named = {each.codes for name in definitions.types for each in definitions.elements(name).values() if each.codes}
    assert named == set(definitions.value_sets)
    assert all(any(codes) for found in definitions.value_sets.values() for codes in found.values())


def test_rules_stand_where_they_are_said() -> None:
    assert [rule.key for rule in r4().invariants("Patient")] == ["dom-2", "dom-3", "dom-4", "dom-5", "dom-6"]
    assert {rule.key for rule in r4().invariants("Patient.contact")} == {"ele-1", "pat-1"}
    assert {rule.key for rule in r4().invariants("Extension")} == {"ele-1", "ext-1"}
    assert [rule.key for rule in element("Organization", "telecom").invariants] == ["org-3"]
    keys = [rule.key for rule in r4().invariants("Questionnaire.item")]
    assert len(keys) == len(set(keys))


def test_the_file_is_small() -> None:
    assert Path(table.__file__).with_name(table.FILE).stat().st_size < 150_000


def test_packing_gives_the_same_bytes_again() -> None:
    raw = Path(table.__file__).with_name(table.FILE).read_bytes()
    assert table.pack(table.unpack(raw)) == table.pack(table.unpack(table.pack(table.unpack(raw))))


@pytest.mark.conformance
def test_the_script_makes_the_file_that_is_checked_in(csor_data: Callable[[str], Path], tmp_path: Path) -> None:
    assert build.main([str(csor_data(PACKAGE)), "-o", str(tmp_path)]) == 0
    for name in (table.FILE, published.PROFILES_FILE, published.TERMINOLOGY_FILE):
        # Compressors differ between zlib versions; what is compressed must not.
        made, checked_in = (
            gzip.decompress(folder.joinpath(name).read_bytes()) for folder in (tmp_path, Path(table.__file__).parent)
        )
        assert made == checked_in, name


SYSTEMS = {
    "urn:s": {
        "content": "complete",
        "concept": [
            {"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}]},
            {"code": "d", "property": [{"code": "subsumedBy", "valueCode": "b"}]},
            {"code": "e", "property": [{"code": "notSelectable", "valueBoolean": True}]},
        ],
    },
    "urn:fragment": {"content": "fragment", "concept": [{"code": "x"}]},
}


@pytest.mark.parametrize(
    ("compose", "expected"),
    [
        ({"include": [{"system": "urn:s"}]}, {"urn:s": ["a", "b", "c", "d"]}),
        ({"include": [{"system": "urn:s", "concept": [{"code": "c"}]}]}, {"urn:s": ["c"]}),
        (
            {"include": [{"system": "urn:s", "filter": [{"property": "concept", "op": "is-a", "value": "b"}]}]},
            {"urn:s": ["b", "c", "d"]},
        ),
        (
            {"include": [{"system": "urn:s"}], "exclude": [{"system": "urn:s", "concept": [{"code": "a"}]}]},
            {"urn:s": ["b", "c", "d"]},
        ),
        ({"include": [{"valueSet": ["urn:inner"]}]}, {"urn:s": ["b"]}),
        ({"include": [{"system": "urn:s", "valueSet": ["urn:inner"]}]}, {"urn:s": ["b"]}),
        ({"include": [{"system": "urn:fragment"}]}, None),
        ({"include": [{"system": "urn:elsewhere"}]}, None),
        ({"include": [{"system": "urn:s", "filter": [{"property": "p", "op": "regex", "value": "."}]}]}, None),
    ],
)
def test_expansion(compose: dict[str, object], expected: dict[str, list[str]] | None) -> None:
    value_sets = {
        "urn:v": {"compose": compose},
        "urn:inner": {"compose": {"include": [{"system": "urn:s", "concept": [{"code": "b"}]}]}},
    }
    assert Expander(SYSTEMS, value_sets).expand("urn:v|4.0.1") == expected
