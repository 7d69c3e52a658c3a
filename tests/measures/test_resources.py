"""Everything that this room emits is valid R4, by this program's own judgement and by another's."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from app.content import PROFILES
from app.fhir import codec
from app.fhir.validation import validate
from app.measures import artefacts
from app.measures.evaluate import evaluate, evaluate_hospitals
from app.measures.fitting import fit
from app.measures.operation import DEFINITION
from app.measures.report import extension
from app.security.access import SANDBOX, SYSTEM
from app.store.protocol import Store


def second_opinion(resource: dict[str, Any]) -> None:
    """fhir.resources reads R4B, which for these types is R4."""
    from fhir.resources.R4B import get_fhir_model_class

    plain = json.loads(codec.encode(resource))
    get_fhir_model_class(resource["resourceType"]).model_validate(plain)


def judged(resource: dict[str, Any]) -> None:
    again = codec.decode(codec.encode(resource))
    assert validate(again) == []
    second_opinion(resource)


@pytest.mark.parametrize("resource", [*artefacts.shipped(), DEFINITION], ids=lambda each: f"{each['resourceType']}/{each['id']}")
def test_what_ships_is_valid(resource: dict[str, Any]) -> None:
    judged(resource)
    assert "emonstration" in json.dumps(resource) or resource["resourceType"] in (
        "StructureDefinition",
        "CodeSystem",
        "OperationDefinition",
    )
    assert resource["url"] == f"https://csor.example.org/{resource['resourceType']}/{resource['id']}"


async def test_reports_of_every_kind_are_valid(nation_store: Store) -> None:
    await fit(nation_store, "treatment-success")
    reports = await evaluate_hospitals(nation_store, SANDBOX, "treatment-success", "2022", "2024")
    assert any("masked" in str(report) for report in reports)
    reports += await evaluate_hospitals(nation_store, SYSTEM, "treatment-success", "2022", "2024")
    for options in (
        {},
        {"report_type": "subject-list"},
        {"report_type": "subject", "subject": "Patient/child-01-00003"},
        {"reporter": "ZA1", "report_type": "subject-list"},
    ):
        reports.append(await evaluate(nation_store, SANDBOX, "treatment-success", "2022", "2024", **options))
    reports.append(await evaluate(nation_store, SANDBOX, "treatment-success", "1999", "1999"))
    for report in reports:
        judged(report)


async def test_a_fitted_model_is_a_valid_library(nation_store: Store) -> None:
    await fit(nation_store, "treatment-success")
    judged((await nation_store.read(SYSTEM, "Library", "case-mix-treatment-success")).resource)


async def test_every_extension_that_is_emitted_is_published_with_its_parts_and_types(nation_store: Store) -> None:
    await fit(nation_store, "treatment-success")
    seen: dict[str, set[str]] = {}
    for report in await evaluate_hospitals(nation_store, SANDBOX, "treatment-success", "2022", "2024"):
        collect(report, seen)
    own = {url: parts for url, parts in seen.items() if url.startswith("https://csor.example.org/")}
    assert set(own) == {extension(name) for name in ("artefact", "comparison", "completeness", "suppressed")}
    for url, parts in own.items():
        definition = codec.decode((PROFILES / "extensions" / f"{url.rpartition('/')[2]}.json").read_bytes())
        assert definition["url"] == url
        elements = {element["id"]: element for element in definition["differential"]["element"]}
        for part in parts:
            name, _, type_ = part.partition(":")
            prefix = f"Extension.extension:{name}.value[x]" if name else "Extension.value[x]"
            code = elements[prefix]["type"][0]["code"]
            assert type_ == f"value{code[0].upper()}{code[1:]}"


def collect(value: Any, seen: dict[str, set[str]]) -> None:
    if isinstance(value, dict):
        for entry in value.get("extension", []):
            parts = seen.setdefault(entry["url"], set())
            for inner in entry.get("extension", []):
                parts.add(f"{inner['url']}:{next(key for key in inner if key.startswith('value'))}")
            parts.update(f":{key}" for key in entry if key.startswith("value"))
        for each in value.values():
            collect(each, seen)
    elif isinstance(value, list):
        for each in value:
            collect(each, seen)


def test_documents_in_libraries_are_base64_of_json() -> None:
    for resource in artefacts.shipped():
        for content in resource["content"] if resource["resourceType"] == "Library" else ():
            assert isinstance(json.loads(base64.b64decode(content["data"], validate=True), parse_float=Decimal), dict)
