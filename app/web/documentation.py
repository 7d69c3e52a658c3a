"""The interface described: made from what the server itself says at `/fhir/metadata`, so it cannot say something else."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.fhir import codec
from app.fhir.errors import NotFound
from app.web.pages import page, render

OFTEN = (
    "Patient",
    "EpisodeOfCare",
    "Procedure",
    "Condition",
    "Observation",
    "Encounter",
    "QuestionnaireResponse",
    "MeasureReport",
)


def routes(context: Any) -> list[BaseRoute]:
    """Open to everybody."""
    pages = Documentation(context)
    return [
        Route("/documentation", page(pages.show, context, signed_in=False), methods=["GET"]),
        Route("/documentation/{type}", page(pages.one, context, signed_in=False), methods=["GET"]),
    ]


class Documentation:
    """The handlers."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def show(self, request: Request) -> Response:
        """All of it, the search parameters aside."""
        statement = await self._statement(request)
        rest = statement["rest"][0]
        return render(
            request,
            "documentation.html",
            statement=statement,
            rest=rest,
            base=f"{self._context.base(request.scope)}/fhir",
            often=[each for each in rest["resource"] if each["type"] in OFTEN],
            operations=_operations(rest),
            interactions=sorted({each["code"] for resource in rest["resource"] for each in resource["interaction"]}),
            defined={o["name"]: o.get("definition", "") for each in (rest, *rest["resource"]) for o in each.get("operation", ())},
            definitions={o.name: o.definition for o in self._context.operations},
        )

    async def one(self, request: Request) -> Response:
        """One type with its search parameters. Raises NotFound."""
        statement = await self._statement(request)
        wanted = request.path_params["type"]
        resource = next((each for each in statement["rest"][0]["resource"] if each["type"] == wanted), None)
        if resource is None:
            raise NotFound("This server has no such resource type.")
        return render(request, "documentation_type.html", resource=resource, base=f"{self._context.base(request.scope)}/fhir")

    async def _statement(self, request: Request) -> dict[str, Any]:
        """The CapabilityStatement, asked of this very application."""
        sent: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        host = [(name, value) for name, value in request.scope["headers"] if name == b"host"]
        scope = {
            **request.scope,
            "path": "/fhir/metadata",
            "raw_path": b"/fhir/metadata",
            "query_string": b"",
            "method": "GET",
            "headers": [*host, (b"accept", b"application/fhir+json")],
            "state": {},
        }
        await request.app(scope, receive, send)
        return codec.decode(b"".join(sent))


def _operations(rest: dict[str, Any]) -> dict[str, list[str]]:
    """Where each operation can be called: at the base (""), or at types."""
    found: dict[str, list[str]] = {operation["name"]: [""] for operation in rest.get("operation", ())}
    for resource in rest["resource"]:
        for operation in resource.get("operation", ()):
            found.setdefault(operation["name"], []).append(resource["type"])
    return dict(sorted(found.items()))
