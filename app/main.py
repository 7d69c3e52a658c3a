"""Where the parts are wired: settings in, a web application out. The only module that knows every room.

Invariants: nothing is served before the store is open; on the way down requests finish first, then services stop, then the store closes.
"""

import asyncio
import contextlib
import gc
import re
import sys
from collections.abc import AsyncIterator
from typing import Any, Protocol

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from app import api, forms, logs, measures, registry, web
from app.api.context import Context
from app.api.endpoint import Endpoint
from app.api.middleware import Shield
from app.fhir.operations import Operation
from app.intake import hl7v2
from app.registry import follow_up
from app.security.identity import Identities
from app.settings import Settings
from app.store import definitions
from app.store.open import open_store
from app.store.protocol import Hook, Store

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch  # as the path convertor of the facade has it


class Service(Protocol):
    """Something that runs beside the requests until `stop` is set."""

    name: str

    async def run(self, stop: asyncio.Event) -> None: ...


def hooks(store: Store) -> dict[str, list[Hook]]:
    """What joins a write, by resource type."""
    return {type: [hook] for type, hook in {**registry.hooks(store), **measures.hooks(store)}.items()}


def operations(store: Store) -> list[Operation]:
    """The operations of the other rooms; the facade adds its own."""
    return [*forms.operations(store), *measures.operations(store)]


def services(store: Store, settings: Settings) -> list[Service]:
    """What runs in the background of every worker. Feed consumers hold a lease, so only one process does the work."""
    listening = settings.mllp_port >= 0
    tls = (settings.mllp_certificate, settings.mllp_key, settings.mllp_client_authorities)
    mllp = hl7v2.services(store, settings.host, settings.mllp_port, settings.sandbox, *tls) if listening else []
    pages = settings.base_url or f"http://{settings.host}:{settings.port}"
    letters = follow_up.services(store, settings.smtp_url, settings.letters_from, pages)
    return [*definitions.services(store), *registry.services(store), *measures.services(store), *letters, *mllp]


def calm_the_collector() -> None:
    """The tables of the standard live as long as the process, and a Bundle makes tens of thousands of objects that are no garbage yet.

    Python's collector would walk the first again and again, and the second every 700: a quarter of the time of a large transaction. Nor may it
    wait too long: what drivers leave in cycles would otherwise pile up for an hour before the first look, and seem a leak.
    """
    gc.freeze()
    gc.set_threshold(5_000, 20, 100)


class Application(FastAPI):
    """A request goes straight from the shield to the facade or the page, which answer their own errors; the framework's layers are for the rest.

    All routes stand in `routes`, whichever way they are reached.
    """

    def __init__(self, context: Context, *, lifespan: Any, verbose: bool) -> None:
        super().__init__(
            title="CSOR",
            lifespan=lifespan,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self.router.redirect_slashes = False
        self._facade = [route for route in api.routes(context) if isinstance(route, Route) and isinstance(route.app, Endpoint)]
        self._one = next(route for route in self._facade if route.path == "/fhir/{type}/{id:fhirid}")
        self._type = next(route for route in self._facade if route.path == "/fhir/{type:fhirid}")
        self._pages = [route for route in web.routes(context) if isinstance(route, Route)]
        self.router.routes.extend([*self._facade, *self._pages])
        self.state.context = context
        self._shield = Shield(self._within, context, verbose)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._shield if scope["type"] == "http" else super().__call__)(scope, receive, send)

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith("/fhir/"):  # the two commonest of all, without the search below
            parts = path.split("/")
            if len(parts) == 4 and parts[2] and _ID(parts[3]):
                scope["path_params"], scope["route"] = {"type": parts[2], "id": parts[3]}, self._one
                await self._one.app(scope, receive, send)
                return
            if len(parts) == 3 and parts[2][:1].isupper() and _ID(parts[2]):
                scope["path_params"], scope["route"] = {"type": parts[2]}, self._type
                await self._type.app(scope, receive, send)
                return
        for route in self._facade if path.startswith(("/fhir", "/health")) else self._pages:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                scope["route"], scope["app"] = route, self
                await route.app(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create(settings: Settings | None = None) -> FastAPI:
    """The ASGI application. Workers call it without arguments and read their settings from the environment."""
    settings = settings or Settings()
    logs.configure(settings.log_level)
    # The event loop gives up the GIL at every store read and XML parse; it must not wait the default 5 ms to get it back from the writer.
    sys.setswitchinterval(0.001)
    store = open_store(settings.store_url)
    context = Context(
        store=store,
        identities=Identities(store),
        sandbox=settings.sandbox,
        base_url=settings.base_url,
        max_body=settings.max_body,
        body_seconds=settings.body_seconds,
        hooks=hooks(store),
        operations=operations(store),
        packages=settings.package_paths,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await store.open()
        calm_the_collector()
        stop = asyncio.Event()
        running = [asyncio.create_task(_keep(service, stop)) for service in services(store, settings)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*running, return_exceptions=True)
            await store.close()

    return Application(context, lifespan=lifespan, verbose=settings.log_level == "debug")


async def _keep(service: Service, stop: asyncio.Event) -> None:
    """Run a service; if it falls, say so and start it again, ever more slowly, up to a minute."""
    delay = 0.5
    while not stop.is_set():
        try:
            await service.run(stop)
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logs.logger().error("service-failed", where=service.name, exc_type=type(error).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        delay = min(delay * 2, 60.0)


def consumers(store: Store) -> list[Any]:
    """The services that read the change feed, and so can be rebuilt from it."""
    return [service for service in services(store, Settings(mllp_port=-1)) if hasattr(service, "rebuild")]
