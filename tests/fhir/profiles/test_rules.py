"""What a profile's element can ask: cardinality, type, fixed, pattern, bounds, length, binding, constraint, references, other profiles."""

from typing import Any

import pytest

from app.fhir.validation import Validator
from tests.fhir import samples
from tests.fhir.profiles.making import BASE, URL, element, errors, profile, sliced


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "a"}, **more}


NAMED = patient(name=[{"family": "A"}])

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("min", element("Patient.name", min=1), NAMED, patient(), "Patient.name"),
    ("min 2", element("Patient.name", min=2), patient(name=[{"family": "A"}] * 2), NAMED, "Patient.name"),
    ("max", element("Patient.name", max="1"), NAMED, patient(name=[{"family": "A"}] * 2), "Patient.name"),
    ("max 0", element("Patient.name", max="0"), patient(), NAMED, "Patient.name"),
    ("below", element("Patient.name.given", min=1), patient(name=[{"given": ["A"]}]), NAMED, "Patient.name[0].given"),
    ("below, absent", element("Patient.name.given", min=1), patient(), NAMED, "Patient.name[0].given"),
    (
        "backbone",
        element("Patient.contact.name", min=1),
        patient(contact=[{"name": {"text": "a"}}]),
        patient(contact=[{"organization": {"display": "a"}}]),
        "Patient.contact[0].name",
    ),
    (
        "type",
        element("Patient.deceased[x]", type=[{"code": "boolean"}]),
        patient(deceasedBoolean=False),
        patient(deceasedDateTime="2020"),
        "Patient.deceased",
    ),
    (
        "short name of a type",
        element("Observation.valueQuantity", min=0),
        observation(valueQuantity={"value": 1}),
        observation(valueString="1"),
        "Observation.value",
    ),
    ("fixed", element("Patient.gender", fixedCode="female"), patient(gender="female"), patient(gender="male"), "Patient.gender"),
    (
        "fixed object",
        element("Observation.code", fixedCodeableConcept={"text": "a"}),
        observation(),
        observation(code={"text": "a", "coding": [{"code": "b"}]}),
        "Observation.code",
    ),
    (
        "pattern",
        element("Observation.code", patternCodeableConcept={"coding": [{"code": "b"}]}),
        observation(code={"text": "a", "coding": [{"code": "c"}, {"code": "b", "display": "B"}]}),
        observation(code={"text": "a", "coding": [{"code": "c"}]}),
        "Observation.code",
    ),
    (
        "least date",
        element("Patient.birthDate", minValueDate="2000-01-01"),
        patient(birthDate="2000-01-01"),
        patient(birthDate="1999-12-31"),
        "Patient.birthDate",
    ),
    (
        "greatest number",
        element("Observation.valueInteger", maxValueInteger=10),
        observation(valueInteger=10),
        observation(valueInteger=11),
        "Observation.value",
    ),
    (
        "length",
        element("Patient.name.family", maxLength=3),
        patient(name=[{"family": "Abc"}]),
        patient(name=[{"family": "Abcd"}]),
        "Patient.name[0].family",
    ),
    (
        "binding",
        element(
            "Patient.maritalStatus", binding={"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/marital-status"}
        ),
        patient(maritalStatus={"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]}),
        patient(maritalStatus={"coding": [{"system": "urn:x", "code": "M"}]}),
        "Patient.maritalStatus",
    ),
    (
        "constraint",
        element(
            "Patient.name",
            constraint=[{"key": "k-1", "severity": "error", "human": "A name has a family.", "expression": "family.exists()"}],
        ),
        NAMED,
        patient(name=[{"text": "A"}]),
        "Patient.name[0]",
    ),
    (
        "constraint on the resource",
        element(
            "Patient",
            constraint=[{"key": "k-1", "severity": "error", "human": "Born", "expression": "%resource.birthDate.exists()"}],
        ),
        patient(birthDate="2000"),
        patient(),
        "Patient",
    ),
    (
        "target",
        element("Observation.subject", type=[{"code": "Reference", "targetProfile": [BASE + "Patient"]}]),
        observation(subject={"reference": "Patient/1"}),
        observation(subject={"reference": "Group/1"}),
        "Observation.subject.reference",
    ),
    (
        "element of a repeated content",
        element("Questionnaire.item.text", min=1),
        {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "display", "text": "a"}]},
        {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "display"}]},
        "Questionnaire.item[0].text",
    ),
    (
        "the same, deeper",
        element("Questionnaire.item.text", min=1),
        {"resourceType": "Questionnaire", "status": "draft"},
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [{"linkId": "1", "type": "group", "text": "a", "item": [{"linkId": "2", "type": "display"}]}],
        },
        "Questionnaire.item[0].item[0].text",
    ),
]


@pytest.mark.parametrize(("rule", "good", "bad", "where"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
def test_a_rule_of_a_profile(rule: dict[str, Any], good: dict[str, Any], bad: dict[str, Any], where: str) -> None:
    made = profile(good["resourceType"], rule)
    if rule["path"] == good["resourceType"]:
        made["differential"]["element"] = [rule]
    assert errors(good, made) == {}
    assert list(errors(bad, made)) == [where]


def test_a_sentence_says_which_profile_asks_and_how_to_repair() -> None:
    (sentence,) = errors(patient(), profile("Patient", element("Patient.name", min=1))).values()
    assert sentence == "The element 'name' is required by p: add it."


def test_a_profile_on_a_profile_asks_for_both() -> None:
    lower = profile("Patient", element("Patient.name", min=1), name="lower")
    upper = profile("Patient", element("Patient.birthDate", min=1), on=URL + "lower")
    assert set(errors(patient(), lower, upper)) == {"Patient.name", "Patient.birthDate"}


def test_meta_profile_is_a_promise() -> None:
    made = profile("Patient", element("Patient.name", min=1))
    assert set(errors(patient(meta={"profile": [URL + "p"]}), made, url="")) == {"Patient.name"}
    assert errors(patient(), made, url="") == {}
    entry = {"resource": patient(meta={"profile": [URL + "p"]})}
    assert set(errors({"resourceType": "Bundle", "type": "collection", "entry": [entry]}, made, url="")) == {
        "Bundle.entry[0].resource.name"
    }


def test_a_profile_that_nobody_knows_is_told() -> None:
    claims = patient(meta={"profile": [URL + "nowhere"]})
    assert errors(claims) == {}
    assert list(errors(claims, severity="warning")) == ["Patient.meta.profile[0]"]
    assert [i.code for i in Validator().validate(patient(), [URL + "nowhere"]) if i.severity == "error"] == ["not-found"]


def test_a_version_is_part_of_the_promise() -> None:
    made = profile("Patient", element("Patient.name", min=1), version="2")
    validator = Validator(profiles=[made])
    assert [i.code for i in validator.validate(patient(), [URL + "p|2"]) if i.severity == "error"] == ["required"]
    assert [i.code for i in validator.validate(patient(), [URL + "p|1"]) if i.severity == "error"] == ["not-found"]


def test_a_profile_of_another_type_is_refused() -> None:
    assert list(errors(observation(), profile("Patient"))) == ["Observation"]
    assert list(errors(patient(meta={"profile": [BASE + "Group"]}))) == ["Patient.meta.profile[0]"]


def test_a_target_in_the_same_resource_must_conform() -> None:
    target = profile("Patient", element("Patient.name", min=1), name="target")
    made = profile("Observation", element("Observation.subject", type=[{"code": "Reference", "targetProfile": [URL + "target"]}]))
    inside = observation(contained=[patient(id="p")], subject={"reference": "#p"})
    assert set(errors(inside, made, target)) == {"Observation.subject.reference"}
    inside["contained"][0]["name"] = [{"family": "A"}]
    assert errors(inside, made, target) == {}
    assert errors(observation(subject={"reference": "Patient/elsewhere"}), made, target) == {}


def test_a_data_types_profile_is_asked_for() -> None:
    money = profile("Quantity", element("Quantity.code", min=1), name="coded")
    made = profile("Observation", element("Observation.valueQuantity", type=[{"code": "Quantity", "profile": [URL + "coded"]}]))
    assert set(errors(observation(valueQuantity={"value": 1}), made, money)) == {"Observation.value.code"}


def test_profiles_that_refer_to_each_other_end() -> None:
    refers = [{"code": "Reference", "targetProfile": [URL + "p"]}]
    made = profile("Patient", element("Patient.link.other", type=refers), element("Patient.name", min=1))
    loop = patient(
        id="1", name=[{"family": "A"}], contained=[patient(id="2", link=[{"other": {"reference": "#"}, "type": "seealso"}])]
    )
    loop["link"] = [{"other": {"reference": "#2"}, "type": "seealso"}]
    assert set(errors(loop, made)) == {"Patient.link[0].other.reference"}
    on_itself = profile("Patient", on=URL + "p")
    assert errors(patient(), on_itself) != {}


def test_what_does_not_fit_is_told_and_the_rest_applies() -> None:
    made = profile("Patient", element("Patient.nothing", min=1), element("Patient.name", min=1))
    assert set(errors(patient(), made)) == {"Patient.name"}
    (warning,) = errors(patient(), made, severity="warning").values()
    assert "Patient.nothing" in warning


def test_a_constraint_that_cannot_be_read_is_told() -> None:
    made = profile(
        "Patient", element("Patient.name", constraint=[{"key": "k", "severity": "error", "human": "h", "expression": "((("}])
    )
    assert errors(NAMED, made) == {}
    assert list(errors(NAMED, made, severity="warning")) == ["Patient.name[0]"]


def test_must_support_is_told_when_asked_and_refuses_nothing() -> None:
    made = profile("Patient", element("Patient.name", mustSupport=True))
    quiet, curious = Validator(profiles=[made]), Validator(profiles=[made], must_support=True)
    assert [i for i in quiet.validate(patient(), [URL + "p"]) if i.severity == "information"] == []
    (told,) = [i for i in curious.validate(patient(), [URL + "p"]) if i.severity == "information"]
    assert told.expression == "Patient.name"
    curious.check(patient(), [URL + "p"])


def test_profiles_are_judged_on_broken_structure_without_raising() -> None:
    made = profile("Patient", element("Patient.name.given", min=1), element("Patient.deceased[x]", type=[{"code": "boolean"}]))
    for odd in (
        {"name": 5},
        {"name": [5, None]},
        {"name": {"given": 3}},
        {"deceasedBoolean": []},
        {"meta": {"profile": 5}},
        {"meta": 5},
    ):
        assert errors(patient(**odd), made)


def test_one_validator_serves_many_resources() -> None:
    validator = Validator(profiles=[profile("Patient", element("Patient.name", min=1))])
    for _ in range(3):
        assert [i.expression for i in validator.validate(patient(), [URL + "p"]) if i.severity == "error"] == ["Patient.name"]
        assert [i for i in validator.validate(samples.patient()) if i.severity == "error"] == []


def test_conforms_to_asks_the_loaded_profiles() -> None:
    named = profile("Patient", element("Patient.name", min=1), name="named")

    def told(url: str, resource: dict[str, Any]) -> set[str]:
        rule = {"key": "k", "severity": "error", "human": "h", "expression": f"$this.conformsTo('{url}')"}
        made = profile("Patient")
        made["differential"]["element"] = [element("Patient", constraint=[rule])]
        return {*errors(resource, made, named), *(f"? {each}" for each in errors(resource, made, named, severity="warning"))}

    assert told(URL + "named", NAMED) == set()
    assert told(URL + "named", patient()) == {"Patient"}
    assert told(URL + "nowhere", NAMED) == {"? Patient"}
    assert told(BASE + "Patient", NAMED) == set()


def test_profiles_that_ask_for_themselves_end() -> None:
    rules = [{"key": f"k{n}", "severity": "error", "human": "h", "expression": f"$this.conformsTo('{URL}p')"} for n in range(4)]
    made = profile("Patient", element("Patient.name", min=1))
    made["differential"]["element"][0] = element("Patient", constraint=rules)
    assert errors(NAMED, made) == {}
    assert "Patient.name" in errors(patient(), made)


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fhir.validation.scope.MAX_STEPS", 500)
    slices = [element(f"Patient.identifier:s{n}.system", fixedUri=f"urn:{n}") for n in range(60)]
    made = profile("Patient", sliced("Patient.identifier", ("value", "system")), *slices)
    many = patient(identifier=[{"system": f"urn:{n}"} for n in range(60)])
    assert errors(many, made) == {}
    assert "too large" in errors(many, made, severity="warning")["Patient"]
