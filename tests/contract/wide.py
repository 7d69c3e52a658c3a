"""A world that is wide: resources of every type of R4, filled at random from few values, so that any search may find some of them.

The same seed makes the same world. It has children at several hospitals, updates, deletions, tags, and references that lead nowhere.
"""

import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from app.fhir.definitions import Element, r4
from app.fhir.search.extract import Extraction
from app.fhir.search.parameters import default
from app.security.access import SHARED, SYSTEM
from app.store.protocol import Delete, Put, Share, Store
from tests.contract.builders import NORTH, SOUTH

DEEPEST = 4
OFTEN = ("Patient", "Observation", "Condition", "Encounter", "Procedure", "Organization", "Practitioner", "Questionnaire",
         "QuestionnaireResponse", "Task", "Group", "RiskAssessment", "MolecularSequence", "Provenance", "ValueSet", "PlanDefinition")  # fmt: skip
IDS = ("1", "2", "3", "a-4", "B.5")
BASE_URL = "https://north.example.org/fhir"
URLS = ("http://example.org/fhir/q", "http://example.org/fhir/q/deep", "http://example.org/fhir/Q", "urn:oid:1.2.3")
UCUM = "http://unitsofmeasure.org"
UNITS = ({"system": UCUM, "code": "kg", "unit": "kg"}, {"system": UCUM, "code": "g", "unit": "grams"}, {"unit": "kg"},
         {"system": UCUM, "code": "mm[Hg]", "unit": "mmHg"}, {"system": "urn:own", "code": "kg"}, {})  # fmt: skip
_CODES = ("a", "b", "c", "A", "a|b", "x,y")
_SYSTEMS = ("urn:one", "http://loinc.org", None)
_TEXTS = (
    "Alpha",
    "alpha beta",
    "Álpha",
    "Beta, Gamma",
    "Straße",
    "ζ",
    "a$b|c\\d",
    "100%_*.[",
    "Alphabet",
    "\U0001f476 baby",
    "beta",
)
_NUMBERS = ("0", "1", "1.0", "1.50", "2", "-3", "100", "3400", "3.4", "0.0001", "1e3")
_DATES = ("2019", "2020", "2020-02", "2020-02-29", "2021-01-01", "1999-12-31", "0001-01-01", "9999-12-31")
_TIMES = (
    *_DATES,
    "2020-02-29T10:00:00Z",
    "2020-02-29T10:00:00.123+05:30",
    "2020-02-28T23:59:59-11:00",
    "2020-02-29T10:00:00.123456Z",
)
_INSTANTS = tuple(time for time in _TIMES if "T" in time)
CODE_SYSTEMS = tuple(system for system in _SYSTEMS if system)
_LEFT_OUT = ("id", "extension", "modifierExtension", "contained", "text", "implicitRules")


def _custom(code: str, kind: str, expression: str, **more: Any) -> dict[str, Any]:
    url = f"http://example.org/fhir/SearchParameter/{code}"
    return {
        "resourceType": "SearchParameter",
        "url": url,
        "code": code,
        "type": kind,
        "base": ["Patient"],
        "expression": expression,
        **more,
    }


# A site's own parameters, one of every kind.
PARAMETERS = default().with_custom(
    [
        _custom("nick", "string", "Patient.name.where(use = 'nickname').given"),
        _custom("order", "number", "Patient.multipleBirth.ofType(integer)"),
        _custom("weight", "quantity", "Patient.extension('urn:weight').value"),
        _custom("photo-url", "uri", "Patient.photo.url"),
        _custom("photo-made", "date", "Patient.photo.creation"),
        _custom("contact-at", "reference", "Patient.contact.organization", target=["Organization"]),
        _custom("married", "token", "Patient.maritalStatus"),
    ]
)
extract = Extraction(PARAMETERS, BASE_URL)


class Making:
    """Random values, from one seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def resource(self, type: str, id: str) -> dict[str, Any]:
        """One of that type. Its shape is right, its sense is none."""
        made = {"resourceType": type, **self._object(type, 0), "id": id}
        if type == "Patient" and self.pick.random() < 0.5:
            made["extension"] = [{"url": "urn:weight", "valueQuantity": self._quantity()}]
        meta = {
            "profile": self._some([f"{URLS[0]}|1", URLS[2]]),
            "tag": self._some([self._coding(), self._coding()]),
            "security": self._some([self._coding()]),
        }
        return made | {"meta": {name: value for name, value in meta.items() if value}}

    def _some(self, values: Sequence[Any]) -> list[Any]:
        return [value for value in values if self.pick.random() < 0.3]

    def _object(self, type: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, element in r4().elements(type).items():
            if (
                name in _LEFT_OUT
                or (depth == 0 and name in ("meta", "language"))
                or self.pick.random() > (0.7, 0.6, 0.5, 0.3, 0.2)[depth]
            ):
                continue
            kind = self.pick.choice(element.types)
            key = next(key for key, one in element.json_names.items() if one == kind or not element.is_choice)
            values = [self._value(kind, element, depth) for _ in range(1 + (element.is_list and self.pick.random() < 0.3))]
            if values[0] is not None:
                made[key] = [value for value in values if value is not None] if element.is_list else values[0]
        return made

    def _value(self, kind: str, element: Element, depth: int) -> Any:
        choice = self.pick.choice
        if kind in r4().primitives:
            return self._primitive(kind, element)
        match kind:
            case "Reference":
                return self._reference(element)
            case "Coding":
                return self._coding()
            case "CodeableConcept":
                return {"coding": [self._coding() for _ in range(choice((1, 1, 2)))]} | choice(({}, {"text": choice(_TEXTS)}))
            case "Identifier":
                return self._identifier()
            case "Quantity" | "SimpleQuantity" | "Age" | "Duration" | "Count" | "Distance":
                return self._quantity()
            case "Range":
                return {"low": self._quantity()} | choice(({}, {"high": self._quantity()}))
            case "Period":
                return {name: choice(_TIMES) for name in choice((("start",), ("end",), ("start", "end")))}
            case "Extension" | "Meta" | "Narrative" | "Resource":
                return None
        if depth >= DEEPEST or kind not in r4().types:
            return None
        return self._object(kind, depth + 1) or None

    def _primitive(self, kind: str, element: Element) -> Any:
        choice = self.pick.choice
        match kind:
            case "code":
                codes = [code for codes in r4().value_sets.get(element.codes, {}).values() for code in codes]
                return choice(codes[:4] or _CODES[:3])
            case "boolean":
                return choice((True, False))
            case "integer" | "unsignedInt" | "positiveInt":
                return choice((1, 2, 3, 100))
            case "decimal":
                return Decimal(choice(_NUMBERS))
            case "date":
                return choice(_DATES)
            case "dateTime":
                return choice(_TIMES)
            case "instant":
                return choice(_INSTANTS)
            case "time":
                return "10:00:00"
            case "uri" | "url":
                return choice(URLS)
            case "canonical":
                return choice(URLS) + choice(("", "", "|1", "|2"))
            case "oid" | "uuid":
                return {"oid": "urn:oid:1.2.3", "uuid": "urn:uuid:11111111-1111-4111-8111-111111111111"}[kind]
            case "base64Binary":
                return "eA=="
            case "xhtml":
                return None
        return choice(_TEXTS)

    def _reference(self, element: Element) -> dict[str, Any]:
        targets = element.targets or tuple(sorted(r4().resources))
        liked = [target for target in targets if target in OFTEN]
        target = self.pick.choice(liked if liked and self.pick.random() < 0.8 else targets)
        id = self.pick.choice(IDS)
        way = self.pick.random()
        if way < 0.75:
            return {"reference": f"{target}/{id}"}
        if way < 0.8:
            return {"reference": f"{BASE_URL}/{target}/{id}"}
        if way < 0.85:
            return {"reference": f"https://elsewhere.example.org/fhir/{target}/{id}"}
        if way < 0.9:
            return {"reference": f"{target}/gone", "identifier": self._identifier()}
        return {"identifier": self._identifier()}

    def _coding(self) -> dict[str, Any]:
        system = self.pick.choice(_SYSTEMS)
        made: dict[str, Any] = {"code": self.pick.choice(_CODES)} | ({"system": system} if system else {})
        return made | ({"display": self.pick.choice(_TEXTS)} if self.pick.random() < 0.4 else {})

    def _identifier(self) -> dict[str, Any]:
        made: dict[str, Any] = {"value": self.pick.choice(_CODES)}
        if system := self.pick.choice(_SYSTEMS):
            made["system"] = system
        if self.pick.random() < 0.5:
            made["type"] = {"coding": [self._coding()]}
        return made

    def _quantity(self) -> dict[str, Any]:
        return {"value": Decimal(self.pick.choice(_NUMBERS)), **self.pick.choice(UNITS)}


async def fill(store: Store, seed: int) -> None:
    """Creates, updates, deletions, shared owners."""
    making = Making(seed)
    pick = making.pick
    marks = [frozenset({NORTH}), frozenset({SOUTH}), frozenset({NORTH, SOUTH}), frozenset({SHARED}), frozenset()]
    names = [(type, id) for type in sorted(r4().resources) for id in (IDS if type in OFTEN else IDS[:2])]
    names += [(type, f"n{number}") for type in OFTEN for number in range(12)]
    pick.shuffle(names)
    for start in range(0, len(names), 4):
        writes = [
            Put(making.resource(*name), owners=marks[sum(map(ord, "".join(name))) % len(marks)])
            for name in names[start : start + 4]
        ]
        await store.commit(SYSTEM, writes)
    changed = pick.sample(names, len(names) // 4)
    for number, (type, id) in enumerate(changed):
        match number % 4:
            case 0:
                await store.commit(SYSTEM, [Delete(type, id)])
                if number % 8 == 0:
                    await store.commit(SYSTEM, [Put(making.resource(type, id))])
            case 1:
                await store.commit(SYSTEM, [Share(type, id, frozenset({NORTH}))])
            case _:
                await store.commit(SYSTEM, [Put(making.resource(type, id))])


def value_set(url: str) -> list[tuple[str, str]] | None:
    """What `:in` is asked with."""
    known: Mapping[str, list[tuple[str, str]]] = {
        "http://example.org/vs/some": [("urn:one", "a"), ("http://loinc.org", "b"), ("urn:one", "c")],
        "http://example.org/vs/one": [("http://loinc.org", "A")],
        "http://example.org/vs/none": [],
    }
    return known.get(url)


VALUE_SETS = ("http://example.org/vs/some", "http://example.org/vs/one", "http://example.org/vs/none")
