"""/metadata says what is there, and what it says is there."""

import httpx

from app.fhir.validation import validate
from tests.api.conftest import BASE, context_of


async def test_the_statement_is_valid_and_complete(fhir: httpx.AsyncClient) -> None:
    statement = (await fhir.get("/metadata")).json()
    assert validate(statement) == []
    rest = statement["rest"][0]
    types = {resource["type"]: resource for resource in rest["resource"]}
    assert len(types) == 145 and "Parameters" not in types
    params = {p["name"] for p in types["Patient"]["searchParam"]}
    assert {"_id", "_lastUpdated", "birthdate", "family", "identifier", "general-practitioner"} <= params
    assert {"name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything"} in types["Patient"][
        "operation"
    ]
    assert "everything" not in {operation["name"] for operation in types["Observation"].get("operation", [])}
    assert statement["implementation"]["url"] == BASE


async def test_every_search_parameter_that_is_promised_works(fhir: httpx.AsyncClient) -> None:
    statement = (await fhir.get("/metadata")).json()
    values = {
        "date": "2024-01-01",
        "number": "1",
        "quantity": "1",
        "token": "a",
        "string": "a",
        "uri": "http://a.example",
        "reference": "x",
    }
    for resource in statement["rest"][0]["resource"]:
        if resource["type"] not in (
            "Patient",
            "Observation",
            "EpisodeOfCare",
            "Procedure",
            "MeasureReport",
            "ValueSet",
            "RiskAssessment",
        ):
            continue
        for param in resource["searchParam"]:
            if param["type"] == "composite":
                continue
            answer = await fhir.get(
                f"/{resource['type']}", params={param["name"]: values[param["type"]]}, headers={"prefer": "handling=strict"}
            )
            assert answer.status_code == 200, (resource["type"], param, answer.text)


async def test_a_sandbox_says_so_and_a_server_does_not(fhir: httpx.AsyncClient, secured: httpx.AsyncClient) -> None:
    assert "SANDBOX" in (await fhir.get("/metadata")).json()["rest"][0]["security"]["description"]
    open_to_all = await secured.get("/metadata")
    assert open_to_all.status_code == 200
    assert "SANDBOX" not in open_to_all.text and not context_of(secured).sandbox


async def test_metadata_in_xml_and_modes(fhir: httpx.AsyncClient) -> None:
    assert (await fhir.get("/metadata?_format=xml")).content.startswith(b"<?xml")
    assert (await fhir.get("/metadata?mode=normative")).status_code == 400
