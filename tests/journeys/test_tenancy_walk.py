"""No route gives one hospital's child to another: every route of the running application, every role, two hospitals.

The routes are read from the application, so a new one is walked as soon as it exists. A FHIR route declares its policy on its endpoint; a
page must be listed in `PAGES` with what it may show to whom, or the first test fails.

Every resource of hospital RYY carries `MARK` in several places. Nobody but RYY and the national role may be sent it, in a body, a header,
a count or a difference of status; the last tests prove that the walk would notice.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from app.api.context import SESSION_COOKIE, Context
from app.api.endpoint import Endpoint
from app.main import create
from app.security.access import SYSTEM
from app.settings import Settings
from app.store.protocol import Share

MARK = "Quetzalcoatl"
PREFIX, NUMBER = MARK[:7], "mrn-yyy-7"  # what a stranger may guess and send; an echo of these is no leak
ID = "yyy-child"  # ids of RYY's resources begin with yyy
PASSWORD = "correct horse battery"

# path -> "open" (the same for everybody, no child's data), "link" (the one task a parent's link opens), "staff" (own hospital, signed in)
PAGES = {
    "/static/": "open",
    "/follow-up": "link",
    "/operative-record": "staff",
    "/sign-in": "open",
    "/sign-out": "open",
    "/hospital": "staff",
    "/public": "open",
    "/documentation": "open",
    "/{path:path}": "open",
}
ROOT_PAGES = {"/": "open"}


def fhir_routes(app: FastAPI) -> Iterator[tuple[str, Endpoint]]:
    for route in app.routes:
        if isinstance(route, Route) and isinstance(route.app, Endpoint):
            yield route.path, route.app


def page_policy(path: str) -> str | None:
    return ROOT_PAGES.get(path) or next((policy for prefix, policy in PAGES.items() if path.startswith(prefix)), None)


def child(id: str, mark: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": "https://example.org/mrn", "value": NUMBER if mark == MARK else f"mrn-{mark}"}],
        "name": [{"family": mark}],
        "birthDate": "2023-05-06",
    }


def of_child(id: str, mark: str) -> list[dict[str, Any]]:
    """Resources of many types about one child."""
    subject, text = {"reference": f"Patient/{id}"}, {"text": mark}
    return [
        {"resourceType": "Observation", "status": "final", "code": text, "subject": subject, "valueString": mark, "id": f"{id}-o"},
        {"resourceType": "Condition", "subject": subject, "code": text, "encounter": {"reference": f"Encounter/{id}-e"}, "id": f"{id}-c"},
        {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}, "subject": subject, "id": f"{id}-e", "type": [text]},
        {"resourceType": "Procedure", "status": "completed", "subject": subject, "code": text, "id": f"{id}-p"},
        {"resourceType": "EpisodeOfCare", "status": "active", "patient": subject, "type": [text], "id": f"{id}-k"},
        {"resourceType": "QuestionnaireResponse", "status": "in-progress", "subject": subject, "id": f"{id}-q",
         "item": [{"linkId": "1", "answer": [{"valueString": mark}]}]},
        {"resourceType": "Task", "status": "requested", "intent": "order", "for": subject, "description": mark, "id": f"{id}-t"},
        {"resourceType": "MeasureReport", "status": "complete", "type": "individual", "measure": "http://example.org/m", "subject": subject,
         "period": {"start": "2024", "end": "2024"}, "id": f"{id}-m", "reporter": {"display": mark}},
    ]  # fmt: skip


class World:
    """A running server with two hospitals' children and one that both treat, and a client for each kind of caller."""

    def __init__(self, app: FastAPI, http: httpx.AsyncClient) -> None:
        self.app, self.http = app, http
        self.context: Context = app.state.context
        self.callers: dict[str, dict[str, str]] = {}

    async def fill(self) -> None:
        identities = self.context.identities
        for name, role, hospitals, scopes in (
            ("hospital", "hospital", ["RXX"], ""),
            ("vendor", "vendor", ["RXX"], ""),
            ("narrow vendor", "vendor", ["RXX"], "system/Patient.rs"),
            ("parent", "parent", [], ""),
            ("other", "hospital", ["RYY"], ""),
            ("national", "national", [], ""),
        ):
            self.callers[name] = {"authorization": f"Bearer {await identities.register_client(name, role, hospitals, scopes)}"}
        await identities.register_user("lead", PASSWORD, "hospital", ["RXX"])
        session = await identities.sign_in("lead", PASSWORD)
        self.callers["session"] = {"cookie": f"{SESSION_COOKIE}={session}"}
        self.callers["nobody"] = {}
        self.callers["forged"] = {"authorization": "Bearer csor_" + "A" * 32}
        for caller, id, mark in (("hospital", "xxx-child", "Ownmark"), ("other", ID, MARK)):
            for resource in (child(id, mark), *of_child(id, mark)):
                await self.put(caller, resource)
        await self.put("hospital", child("both", "Shared"))
        await self.context.store.commit(SYSTEM, [Share("Patient", "both", frozenset(["RYY"]))])
        for resource in of_child("both", MARK):
            await self.put("other", resource | {"id": "yyy-" + resource["id"]})

    async def put(self, caller: str, resource: dict[str, Any]) -> None:
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        answer = await self.http.put(url, json=resource, headers=self.callers[caller])
        assert answer.status_code == 201, answer.text

    def mine(self) -> list[tuple[str, str]]:
        """(type, id) of all that is RYY's."""
        own = [("Patient", ID), *((r["resourceType"], r["id"]) for r in of_child(ID, MARK))]
        return own + [(r["resourceType"], f"yyy-{r['id']}") for r in of_child("both", MARK)]

    def requests(self, path: str, endpoint: Endpoint) -> Iterator[tuple[str, str, Any]]:
        """(method, URL, body) for a FHIR route, aimed at what is RYY's."""
        for method in endpoint.handlers:
            for url in self.urls(path):
                yield from self.filled(method, url)

    def urls(self, path: str) -> Iterator[str]:
        operations = {o.name for o in self.context.operations} | {"everything", "validate"}
        for type, id in self.mine() if "{type" in path else [("", "")]:
            url = path.replace("{type:fhirid}", type).replace("{type}", type).replace("{id:fhirid}", id)
            url = url.replace("{version}", "1").replace("{path:path}", f"Patient/{ID}/x/y/z")
            for other in ("Observation", "Condition", "Task") if "{other" in url else ("",):
                for operation in sorted(operations) if "{operation}" in url else ("",):
                    yield url.replace("{other:fhirid}", other).replace("{operation}", operation)

    def filled(self, method: str, url: str) -> Iterator[tuple[str, str, Any]]:
        if method in ("GET", "HEAD"):
            yield method, url, None
            for query in self.queries(url):
                yield method, f"{url}?{query}", None
        elif url.endswith("_search"):
            for query in ("_count=100", f"_id={ID}", f"patient=Patient/{ID}"):
                yield method, url, query
        elif url.rstrip("/") == "/fhir":
            for kind in ("batch", "transaction"):
                for type, id in self.mine():
                    entries = [{"request": {"method": "GET", "url": each}} for each in (f"{type}/{id}", type, f"{type}?_id={id}")]
                    yield method, url, {"resourceType": "Bundle", "type": kind, "entry": entries}
        elif method == "DELETE" and url.count("/") == 2:
            yield method, f"{url}?_id={ID}", None
        else:
            yield method, url, {"resourceType": url.split("/")[2] if url.count("/") > 1 else "Patient", "id": url.split("/")[-1]}

    def queries(self, url: str) -> tuple[str, ...]:
        general = ("_count=1000", "_summary=true", f"_id={ID}", "_sort=-_lastUpdated", "_elements=id,name")
        if url.endswith("Patient"):
            return (
                *general,
                f"family={PREFIX}",
                f"identifier={NUMBER}",
                "_revinclude=*",
                "_id=both&_revinclude=Observation:subject&_revinclude:iterate=Condition:subject",
                f"_has:Observation:patient:_id={ID}-o",
            )
        if url.endswith(("Observation", "Condition", "Encounter", "Procedure", "Task")):
            return (
                *general,
                f"subject=Patient/{ID}",
                f"subject:Patient.family={PREFIX}",
                "_include=*",
                "_include:iterate=*",
                "subject=Patient/both",
            )
        return general


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    data: Path = tmp_path_factory.mktemp("walk")
    app = create(Settings(data=data, store=f"sqlite:///{data}/csor.db", mllp_port=-1))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as http:
            made = World(app, http)
            await made.fill()
            yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")
STRANGERS = ("hospital", "vendor", "narrow vendor", "session", "parent", "nobody", "forged")


async def ask(world: World, caller: str, method: str, url: str, body: Any) -> httpx.Response:
    headers = dict(world.callers[caller])
    if isinstance(body, str):
        headers["content-type"] = "application/x-www-form-urlencoded"
        return await world.http.request(method, url, content=body, headers=headers)
    return await world.http.request(method, url, json=body, headers=headers)


async def test_every_route_has_a_policy(world: World) -> None:
    declared = {path for path, _ in fhir_routes(world.app)}
    unknown = [
        r.path for r in world.app.routes if isinstance(r, Route) and r.path not in declared and page_policy(r.path) is None
    ]
    assert not unknown, f"declare in PAGES who may see what on {unknown}"
    for path, endpoint in fhir_routes(world.app):
        assert endpoint.policy in ("open", "signed-in", "national"), path


@pytest.mark.parametrize("caller", STRANGERS)
async def test_no_fhir_route_leaks(world: World, caller: str) -> None:
    asked = 0
    for path, endpoint in fhir_routes(world.app):
        for method, url, body in world.requests(path, endpoint):
            if method not in ("GET", "HEAD", "POST"):
                continue
            answer = await ask(world, caller, method, url, body)
            asked += 1
            told = answer.text + str(answer.headers)
            assert MARK not in told, f"{caller} {method} {url}: {told[:300]}"
            assert answer.status_code < 500, f"{method} {url}: {answer.text}"
            if endpoint.policy != "open" and caller in ("nobody", "forged"):
                assert answer.status_code == 401, f"{caller} {method} {url}"
            if endpoint.policy != "open" and caller == "parent":
                assert answer.status_code == 403, f"{caller} {method} {url}"
            if endpoint.policy == "national":
                assert answer.status_code in (401, 403), f"{caller} {method} {url}"
    assert asked > 300


@pytest.mark.parametrize("caller", STRANGERS)
async def test_nobody_else_changes_what_is_theirs(world: World, caller: str) -> None:
    for path, endpoint in fhir_routes(world.app):
        for method, url, body in world.requests(path, endpoint):
            if method in ("PUT", "DELETE", "PATCH"):
                answer = await ask(world, caller, method, url, body)
                assert MARK not in answer.text
                assert answer.status_code in (204, 400, 401, 403, 404, 405, 412), f"{caller} {method} {url} {answer.status_code}"
    for type, id in world.mine():
        answer = await ask(world, "other", "GET", f"/fhir/{type}/{id}", None)
        assert answer.status_code == 200 and answer.json()["meta"]["versionId"] == "1", f"{caller} {type}/{id}"


async def test_a_condition_is_no_oracle(world: World) -> None:
    """What another hospital holds must not show in whether a condition matches."""
    one = {**child("", "Ownmark"), "identifier": [{"system": "https://example.org/mrn", "value": NUMBER}]}
    del one["id"]
    condition = f"identifier=https://example.org/mrn|{NUMBER}"
    for made in (
        await world.http.post("/fhir/Patient", json=one, headers={**world.callers["hospital"], "if-none-exist": condition}),
        await world.http.put(f"/fhir/Patient?{condition}&family=Nobody", json=one, headers=world.callers["hospital"]),
    ):
        assert made.status_code == 201
    gone = await world.http.delete(f"/fhir/Patient/{ID}", headers=world.callers["hospital"])
    never = await world.http.delete("/fhir/Patient/never-there", headers=world.callers["hospital"])
    assert (gone.status_code, gone.content) == (never.status_code, never.content)
    hidden = await world.http.get(f"/fhir/Patient/{ID}", headers=world.callers["hospital"])
    absent = await world.http.get("/fhir/Patient/not-child", headers=world.callers["hospital"])
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(ID, "") == absent.text.replace("not-child", "")


async def test_totals_do_not_count_others(world: World) -> None:
    for url in ("/fhir/Task?_summary=count", "/fhir/Task?_total=accurate"):
        assert (await ask(world, "hospital", "GET", url, None)).json()["total"] == 1
        assert (await ask(world, "other", "GET", url, None)).json()["total"] == 2
        assert (await ask(world, "national", "GET", url, None)).json()["total"] == 3


async def test_pages_leak_nothing(world: World) -> None:
    for route in world.app.routes:
        if not isinstance(route, Route) or isinstance(route.app, Endpoint):
            continue
        policy = page_policy(route.path)
        for name, convertor in route.param_convertors.items():
            assert name and convertor
        url = route.path
        for name in route.param_convertors:
            url = url.replace(f"{{{name}}}", f"{ID}-q" if name != "number" else "1").replace(f"{{{name}:int}}", "1")
        for caller in STRANGERS:
            for method in sorted(route.methods or {"GET"}):
                for query in ("", f"?patient={ID}"):
                    answer = await ask(world, caller, method, url + query, "a=1" if method == "POST" else None)
                    assert MARK not in answer.text + str(answer.headers), f"{caller} {method} {url}"
                    assert answer.status_code < 500, f"{caller} {method} {url}: {answer.text[:300]}"
                    if policy == "staff" and caller in ("nobody", "forged"):
                        assert answer.status_code in (303, 401, 403), f"{caller} {method} {url}: {answer.status_code}"


@pytest.mark.parametrize("caller", ["other", "national"])
async def test_the_walk_would_notice(world: World, caller: str) -> None:
    """The same requests by those who may see: the mark comes back on nearly every route that can carry it."""
    seen = set()
    for path, endpoint in fhir_routes(world.app):
        for method, url, body in world.requests(path, endpoint):
            if method in ("GET", "POST") and MARK in (await ask(world, caller, method, url, body)).text:
                seen.add(path)
                break
    expected = {
        p
        for p, e in fhir_routes(world.app)
        if e.policy == "signed-in" and p not in ("/fhir/${operation}", "/fhir/{type}/${operation}")
    }
    assert expected <= seen, expected - seen
