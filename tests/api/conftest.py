"""The application in this process: `fhir` is a client of a sandbox, `secured` one where nobody is let in without a token."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api.context import Context
from app.main import create
from app.settings import Settings

BASE = "http://localhost/fhir"


async def _running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=30) as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


@pytest.fixture
async def fhir(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create(Settings(data=tmp_path, store=f"sqlite:///{tmp_path}/csor.db", sandbox=True, mllp_port=-1, max_body=2_000_000))
    async for client in _running(app):
        yield client


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create(Settings(data=tmp_path, store=f"sqlite:///{tmp_path}/csor.db", mllp_port=-1))
    async for client in _running(app):
        yield client


def context_of(client: httpx.AsyncClient) -> Context:
    """What the routes of the client's application were given."""
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    return context


async def token(client: httpx.AsyncClient, role: str, *hospitals: str, scopes: str = "") -> dict[str, str]:
    """The headers of a new client of the server."""
    made = await context_of(client).identities.register_client(f"a {role}", role, hospitals, scopes)
    return {"authorization": f"Bearer {made}"}


def patient(**more: object) -> dict[str, object]:
    return {"resourceType": "Patient", **more}


def observation(subject: str, code: str = "8339-4", **more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": subject},
        **more,
    }
