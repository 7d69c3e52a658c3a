"""References are found by the type of the element, and rewritten where they lie."""

import copy
from typing import Any

from app.fhir.references import conditional_references, places, references, rewrite

OLD, NEW = "urn:uuid:0c1d", "Patient/p1"


def bundle() -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:other",
                "resource": {
                    "resourceType": "Observation",
                    "id": OLD,  # an id is no pointer
                    "text": {"status": "generated", "div": f"<div><a href=\"{OLD}\">x</a><img src='{OLD}#i'/>{OLD}</div>"},
                    "code": {"text": OLD},  # text is no pointer
                    "subject": {
                        "reference": OLD,
                        "_reference": {"extension": [{"url": "e", "valueReference": {"reference": OLD}}]},
                    },
                    "derivedFrom": [{"reference": f"{OLD}#part"}, {"reference": "Observation?identifier=s|1"}],
                    "extension": [{"url": "e", "valueUri": OLD}, {"url": "e", "valueString": OLD}],
                    "contained": [
                        {"resourceType": "CarePlan", "instantiatesCanonical": ["http://a", OLD], "subject": {"reference": OLD}}
                    ],
                },
            }
        ],
    }


def test_every_pointer_is_rewritten_and_nothing_else() -> None:
    before, after = bundle(), bundle()
    assert rewrite(after, {OLD: NEW}) == 7
    resource = after["entry"][0]["resource"]
    assert resource["subject"]["reference"] == NEW
    assert resource["subject"]["_reference"]["extension"][0]["valueReference"]["reference"] == NEW
    assert resource["derivedFrom"][0]["reference"] == f"{NEW}#part"
    assert resource["extension"] == [{"url": "e", "valueUri": NEW}, {"url": "e", "valueString": OLD}]
    assert resource["contained"][0]["instantiatesCanonical"] == ["http://a", NEW]
    assert resource["contained"][0]["subject"]["reference"] == NEW
    assert resource["text"]["div"] == f"<div><a href=\"{NEW}\">x</a><img src='{NEW}#i'/>{OLD}</div>"
    assert resource["id"] == OLD and resource["code"]["text"] == OLD
    untouched = copy.deepcopy(before)
    assert rewrite(before, {"urn:uuid:nobody": "x"}) == 0 and before == untouched


def test_references_come_with_their_holder() -> None:
    resource = bundle()
    found = list(references(resource))
    assert {value for _, _, value in found} == {OLD, f"{OLD}#part", "Observation?identifier=s|1"}
    for holder, key, value in found:
        assert holder[key] == value


def test_conditional_references_are_told_apart() -> None:
    ((holder, key, kind, query),) = conditional_references(bundle())
    assert (key, kind, query) == ("reference", "Observation", "identifier=s|1") and holder[key].endswith(query)


def test_depth_costs_no_stack() -> None:
    deep: dict[str, Any] = {"url": "x"}
    for _ in range(50_000):
        deep = {"url": "x", "extension": [deep]}
    assert sum(1 for _ in places({"resourceType": "Basic", "extension": [deep]})) == 50_001
    while "extension" in deep:  # taken apart by hand: the interpreter would recurse
        deep = deep.pop("extension")[0]
