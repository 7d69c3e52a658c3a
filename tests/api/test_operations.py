"""Operations: found and checked by their definition; $validate and Patient/$everything."""

import httpx

from app.fhir.operations import Operation, OperationRequest
from tests.api.conftest import observation, patient


async def test_validate_judges_without_storing(fhir: httpx.AsyncClient) -> None:
    good = await fhir.post("/Patient/$validate", json=patient(active=True))
    assert good.status_code == 200 and good.json()["issue"][0]["severity"] == "information"
    bad = await fhir.post("/Patient/$validate", json=patient(gender="boy", birthDate="soon"))
    assert bad.status_code == 200
    errors = [i for i in bad.json()["issue"] if i["severity"] == "error"]
    assert {i["expression"][0] for i in errors} == {"Patient.gender", "Patient.birthDate"}
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient()}]}
    assert (await fhir.post("/Patient/$validate", json=wrapped)).status_code == 200
    assert (await fhir.post("/Patient/$validate", json=observation("Patient/a"))).json()["issue"][0]["severity"] == "error"
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 0


async def test_calls_that_the_definition_does_not_have(fhir: httpx.AsyncClient) -> None:
    wrong = {"resourceType": "Parameters", "parameter": [{"name": "sauce", "valueString": "x"}]}
    assert (await fhir.post("/Patient/$validate", json=wrong)).status_code == 400
    assert (await fhir.get("/Patient/$nonsense")).status_code == 404
    assert (await fhir.get("/Observation/a/$everything")).status_code == 404
    assert (await fhir.get("/$validate")).status_code == 404
    await fhir.put("/Patient/a", json=patient(id="a"))
    assert (await fhir.get("/Patient/a/$everything?_count=many")).status_code == 400
    assert (await fhir.delete("/Patient/$validate")).status_code == 405


async def test_everything_of_one_child_and_nothing_of_another(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Organization/rxx", json={"resourceType": "Organization", "id": "rxx", "name": "A hospital"})
    for id in ("a", "b"):
        await fhir.put(f"/Patient/{id}", json=patient(id=id, managingOrganization={"reference": "Organization/rxx"}))
        for n in range(3):
            await fhir.put(
                f"/Observation/{id}{n}", json=observation(f"Patient/{id}", id=f"{id}{n}", effectiveDateTime=f"2024-0{n + 1}-01")
            )
    bundle = (await fhir.get("/Patient/a/$everything")).json()
    found = {(e["resource"]["resourceType"], e["resource"]["id"], e["search"]["mode"]) for e in bundle["entry"]}
    assert found == {
        ("Patient", "a", "match"),
        ("Organization", "rxx", "include"),
        *(("Observation", f"a{n}", "match") for n in range(3)),
    }
    some = (await fhir.get("/Patient/a/$everything?_type=Observation&start=2024-02-01")).json()
    assert sorted(e["resource"]["id"] for e in some["entry"]) == ["a1", "a2"]
    assert (await fhir.get("/Patient/none/$everything")).status_code == 404


async def test_everything_pages(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    for n in range(5):
        await fhir.put(f"/Observation/o{n}", json=observation("Patient/a", id=f"o{n}"))
    seen, url = [], "/Patient/a/$everything?_count=2"
    while url:
        page = (await fhir.get(url)).json()
        assert len(page["entry"]) <= 2
        seen += [e["resource"]["id"] for e in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert sorted(seen) == ["a", "o0", "o1", "o2", "o3", "o4"]


async def _echo(access: object, request: OperationRequest) -> dict[str, object]:
    return dict(request.parameters)


ECHO = Operation(
    {
        "resourceType": "OperationDefinition",
        "code": "echo",
        "system": True,
        "type": False,
        "instance": False,
        "parameter": [
            {"name": "n", "use": "in", "min": 1, "max": "1", "type": "integer"},
            {"name": "when", "use": "in", "min": 0, "max": "*", "type": "date"},
        ],
    },
    _echo,
)


def test_parameters_come_typed_from_a_query() -> None:
    told = ECHO.from_query([("n", "3"), ("when", "2024-01-01"), ("when", "2024")])
    assert told["parameter"] == [
        {"name": "n", "valueInteger": 3},
        {"name": "when", "valueDate": "2024-01-01"},
        {"name": "when", "valueDate": "2024"},
    ]
    assert OperationRequest("system", parameters=told).values("when") == ["2024-01-01", "2024"]


async def test_validate_judges_by_a_profile(fhir: httpx.AsyncClient) -> None:
    weight = "http://hl7.org/fhir/StructureDefinition/bodyweight"
    told = await fhir.post(f"/Observation/$validate?profile={weight}", json=observation("Patient/a"))
    errors = {i["expression"][0] for i in told.json()["issue"] if i["severity"] == "error"}
    assert {"Observation.category", "Observation.effective"} <= errors
    unknown = await fhir.post("/Patient/$validate?profile=urn:nowhere", json=patient())
    assert "not-found" in [i["code"] for i in unknown.json()["issue"] if i["severity"] == "error"]


async def test_writes_are_held_to_the_invariants(fhir: httpx.AsyncClient) -> None:
    refused = await fhir.post("/Patient", json=patient(contact=[{"gender": "male"}]))
    assert refused.status_code == 400
    assert refused.json()["issue"][0]["expression"] == ["Patient.contact[0]"]
    assert (await fhir.post("/Patient", json=patient())).status_code == 201  # a narrative is advised, not required


async def test_parameters_that_are_not_what_they_are_declared_to_be(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    for query in ("_count=-5", "_cursor=²."):
        assert (await fhir.get(f"/Patient/a/$everything?{query}")).status_code == 400, query
    for parameter in (
        "x",
        ["x"],
        {"name": "_count", "valueInteger": 3},
        [{"name": "_count", "valueInteger": -3}],
        [{"name": "_count", "valueString": "x"}],
        [{"name": "_count", "valueBoolean": True}],
        [{"name": "_type"}],
        [{"name": "_since", "resource": patient()}],
    ):
        for operation in ("Patient/a/$everything", "Patient/$validate", "Questionnaire/$populate"):
            refused = await fhir.post(f"/{operation}", json={"resourceType": "Parameters", "parameter": parameter})
            assert refused.status_code == 400, (operation, parameter, refused.text)
    for parameter in (
        [{"name": "context", "part": ["x"]}],
        [{"name": "context", "valueString": "x"}],
        [{"name": "local", "valueCode": "x"}],
    ):
        refused = await fhir.post("/Questionnaire/$populate", json={"resourceType": "Parameters", "parameter": parameter})
        assert refused.status_code == 400, refused.text
