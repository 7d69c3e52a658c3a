"""From resources that a vendor posts to a hospital's report, through the application as it is wired."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import names
from app.main import create
from app.measures.definition import shipped
from app.measures.fitting import fit
from app.registry.consumer import CaseFactsConsumer
from app.settings import Settings
from tests.registry.builders import case, patient, procedure


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create(Settings(data=tmp_path, store=f"sqlite:///{tmp_path}/csor.db", mllp_port=-1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost/fhir", timeout=30) as client,
    ):
        client.app = app  # type: ignore[attr-defined]
        yield client


async def token(server: httpx.AsyncClient, role: str, *hospitals: str) -> dict[str, str]:
    identities = server.app.state.context.identities  # type: ignore[attr-defined]
    return {"authorization": f"Bearer {await identities.register_client(f'a {role}', role, hospitals, '')}"}


def child(number: int, hospital: str) -> list[dict[str, Any]]:
    """One that did well (quality of life 0), but every fifth did not (3)."""
    of = f"p{number}"
    level = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": names.OUTCOME, "code": "quality-of-life-level"}]},
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": "2024-01-05",
        "valueInteger": 3 if number % 5 == 0 else 0,
    }
    done = procedure(f"o{number}", f"2023-01-{2 + number % 20:02d}", kind="major-planned", of=of)
    return [patient(of), case(f"c{number}", of=of, hospital=hospital), done, level]


def transaction(resources: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def test_a_child_without_a_date_of_birth_counts_like_any_other(server: httpx.AsyncClient) -> None:
    own = await token(server, "hospital", "ZAA")
    resources = [resource for number in range(1, 4) for resource in child(number, "ZAA")]
    del resources[0]["birthDate"]
    resources[4]["birthDate"] = "2023"
    assert (await server.post("/", json=transaction(resources), headers=own)).status_code == 200
    await CaseFactsConsumer(server.app.state.context.store).drain()  # type: ignore[attr-defined]
    span = {"periodStart": "2023", "periodEnd": "2023"}
    everyone = {**span, "reporter": "Organization/zaa"}
    report = (await server.get("/Measure/treatment-success/$evaluate-measure", params=everyone, headers=own)).json()
    counts = {each["code"]["coding"][0]["code"]: each["count"] for each in report["group"][0]["population"]}
    assert counts["numerator"] == counts["denominator"] == 3
    for number, parts in ((1, 2), (2, 2), (3, 3)):
        one = {**span, "reportType": "subject", "subject": f"Patient/p{number}"}
        answer = await server.get("/Measure/treatment-success/$evaluate-measure", params=one, headers=own)
        assert answer.status_code == 200, answer.text
        [score] = [each for each in answer.json()["contained"] if "component" in each]
        assert len(score["component"]) == parts


async def test_from_posted_resources_to_the_report(server: httpx.AsyncClient) -> None:
    own, other, national = [await token(server, *who) for who in (("hospital", "ZAA"), ("hospital", "ZBB"), ("national",))]
    for headers, ods, numbers in ((own, "ZAA", range(1, 41)), (other, "ZBB", range(41, 61))):
        bundle = transaction([resource for number in numbers for resource in child(number, ods)])
        answer = await server.post("/", json=bundle, headers=headers)
        assert answer.status_code == 200, answer.text
    store = server.app.state.context.store  # type: ignore[attr-defined]
    await CaseFactsConsumer(store).drain()
    await fit(store, "treatment-success")
    path = "/Measure/treatment-success/$evaluate-measure"
    query = {"periodStart": "2023", "periodEnd": "2023", "reporter": "Organization/zaa"}

    def numerator(report: dict[str, Any]) -> Any:
        return next(p.get("count") for p in report["group"][0]["population"] if p["code"]["coding"][0]["code"] == "numerator")

    answer = await server.get(path, params=query, headers=own)
    assert answer.status_code == 200, answer.text
    assert numerator(answer.json()) == 32
    compared = next(e for e in answer.json()["group"][0]["extension"] if e["url"].endswith("measure-comparison"))
    expected = compared["extension"][0]
    assert expected["url"] == "expected" and float(expected["valueDecimal"]) == pytest.approx(32, abs=0.5)
    assert numerator((await server.get(path, params={**query, "reporter": "Organization/zbb"}, headers=own)).json()) is None
    assert numerator((await server.get(path, params={**query, "reporter": "Organization/zbb"}, headers=other)).json()) == 16
    assert numerator((await server.get(path, params={**query, "reporter": "Organization/zbb"}, headers=national)).json()) is None
    everyone = {key: value for key, value in query.items() if key != "reporter"}
    assert numerator((await server.get(path, params=everyone, headers=other)).json()) is None  # 48 less its own is the other's
    assert numerator((await server.get(path, params=everyone, headers=national)).json()) == 48

    kept = await server.post(
        path, headers=own, json={"resourceType": "Parameters", "parameter": [{"name": k, _key(k): v} for k, v in query.items()]}
    )
    assert kept.status_code in (200, 201), kept.text
    assert (await server.get(f"/MeasureReport/{kept.json()['id']}", headers=own)).status_code == 200
    assert (await server.get(f"/MeasureReport/{kept.json()['id']}", headers=other)).status_code == 404


def _key(name: str) -> str:
    return "valueDate" if name.startswith("period") else "valueString"


async def test_questions_that_mean_nothing_get_an_operation_outcome(server: httpx.AsyncClient) -> None:
    headers = await token(server, "hospital", "ZAA")
    for query, status in (
        ({"periodStart": "2023"}, 400),
        ({"periodStart": "2024", "periodEnd": "2023"}, 400),
        ({"periodStart": "2023", "periodEnd": "2023", "reportType": "gossip"}, 400),
        ({"periodStart": "2023", "periodEnd": "2023", "reporter": "Organization/none"}, 404),
        ({"periodStart": "2023", "periodEnd": "2023", "practitioner": "x"}, 400),
    ):
        answer = await server.get("/Measure/treatment-success/$evaluate-measure", params=query, headers=headers)
        assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome"), query
    answer = await server.get(
        "/Measure/none/$evaluate-measure", params={"periodStart": "2023", "periodEnd": "2023"}, headers=headers
    )
    assert answer.status_code == 404


@pytest.mark.parametrize("suffix", ["", "|0.1.0"])
async def test_no_client_stores_another_measure_under_the_url_of_one_that_ships(server: httpx.AsyncClient, suffix: str) -> None:
    hospital, national = [await token(server, *who) for who in (("hospital", "ZAA"), ("national",))]
    ours = shipped("treatment-success").resource
    mine = {**ours, "id": "mine", "url": f"{ours['url']}{suffix}"}
    for headers in (hospital, national):
        for answer in (
            await server.put("/Measure/mine", json=mine, headers=headers),
            await server.post("/Measure", json=mine, headers=headers),
            await server.post("/", json=transaction([mine]), headers=headers),
        ):
            assert answer.status_code == 422, answer.text
            (issue,) = answer.json()["issue"]
            assert issue["code"] == "business-rule" and "Give yours another url" in issue["diagnostics"]
            assert issue["expression"][0].endswith("Measure.url")
    assert (await server.get("/Measure/mine", headers=national)).status_code == 404
    assert (
        await server.put("/Measure/mine", json={**mine, "url": "https://za.example/Measure/mine"}, headers=hospital)
    ).is_success


async def test_what_ships_may_be_brought_again_as_it_is(server: httpx.AsyncClient) -> None:
    """As a load of another server's export does."""
    headers = await token(server, "national")
    ours = dict(shipped("treatment-success").resource)
    assert (await server.put("/Measure/treatment-success", json=ours, headers=headers)).is_success
    answer = await server.put("/Measure/treatment-success", json={**ours, "title": "Better"}, headers=headers)
    assert answer.status_code == 422


async def test_the_capability_statement_names_the_operation(server: httpx.AsyncClient) -> None:
    text = (await server.get("/metadata")).text
    assert "evaluate-measure" in text
