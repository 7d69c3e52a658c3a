"""A hospital's own cases, and one of them: what the figures are made of."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import names
from app.fhir.errors import Gone, NotFound
from app.fhir.numbers import whole_number
from app.measures.drill import CaseLine
from app.outcomes.weights import QUALITY_OF_LIFE, in_force
from app.security.access import Access
from app.store.protocol import Store
from app.web import words
from app.web.figures import cabinet
from app.web.hospital.view import cases_of, hospital_of, measure_of, name_of, switch
from app.web.pages import render

PAGE = 40
SHOWN: dict[str, tuple[str, Callable[[CaseLine], bool]]] = {
    "all": ("All", lambda line: True),
    "yes": ("With the event", lambda line: line.event),
    "no": ("Without the event", lambda line: line.counts and not line.event),
    "open": ("Not counted yet", lambda line: not line.counts),
}
KINDS = {
    "major-planned": "Major, planned",
    "minor-planned": "Minor, planned",
    "major-emergency": "Major, emergency",
    "minor-emergency": "Minor, emergency",
}
SOURCES = {
    "operative-record": "Operative record",
    "hl7v2": "Hospital message (HL7v2)",
    "hes": "Episode statistics (HES)",
    "fhir": "Record system (FHIR)",
    "parent": "Parent",
}


class Cases:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def listing(self, request: Request) -> Response:
        """A page of the cases, by day of first operation."""
        access, ods = hospital_of(request)
        measure = measure_of(request)
        lines = await cases_of(self._store, access, measure, ods)
        show = request.query_params.get("show", "all")
        chosen = [line for line in lines if SHOWN.get(show, SHOWN["all"])[1](line)]
        surprising = request.query_params.get("order") == "surprise"
        if surprising:
            chosen.sort(key=_surprise, reverse=True)
        pages = max(1, -(-len(chosen) // PAGE))
        number = min(max(whole_number(request.query_params.get("page", ""), 6) or 1, 1), pages)
        path = f"/hospital/{ods}/cases"
        counts = [(id, title, sum(map(test, lines))) for id, (title, test) in SHOWN.items()]
        return render(
            request,
            "hospital/cases.html",
            ods=ods,
            name=await name_of(self._store, ods),
            measure=measure,
            wording=words.wording(measure),
            switch=switch(path, measure),
            path=path,
            show=show if show in SHOWN else "all",
            order="surprise" if surprising else "day",
            counts=counts,
            lines=chosen[(number - 1) * PAGE : number * PAGE],
            total=len(chosen),
            number=number,
            pages=pages,
            size=PAGE,
            said=words,
            weights=in_force(),
        )

    async def one(self, request: Request) -> Response:
        """One case. Raises NotFound for a case of another hospital too."""
        access, ods = hospital_of(request)
        measure = measure_of(request)
        id = request.path_params["id"]
        lines = await cases_of(self._store, access, measure, ods)
        line = next((line for line in lines if line.facts.case == id), None)
        if line is None:
            raise NotFound("There is no such case of this hospital in the period.")
        figures = await cabinet(self._store).figures(access, measure)
        return render(
            request,
            "hospital/case.html",
            ods=ods,
            name=await name_of(self._store, ods),
            child=await self._child(access, line),
            measure=measure,
            wording=words.wording(measure),
            line=line,
            figures=figures,
            weights=in_force(),
            quality=_quality(line),
            kinds=KINDS,
            sources=SOURCES,
            said=words,
        )

    async def _child(self, access: Access, line: CaseLine) -> dict[str, str] | None:
        """Who it is, for the hospital's own people, who need it to find the notes; nobody else does."""
        if access.role != "hospital":
            return None
        try:
            patient: dict[str, Any] = (await self._store.read(access, "Patient", line.facts.patient)).resource
        except (NotFound, Gone):
            return None
        name: dict[str, Any] = next(iter(patient.get("name") or ()), {})
        written = name.get("text") or " ".join([*(name.get("given") or ()), name.get("family") or ""]).strip()
        numbers = [each.get("value", "") for each in patient.get("identifier") or () if each.get("system") == names.NHS_NUMBER]
        told = {"name": written, "born": line.facts.birth_date, "nhs": numbers[0] if numbers else ""}
        return {what: value or "not known" for what, value in told.items()}


def _surprise(line: CaseLine) -> float:
    """How far what happened lies from what was expected, 0..1; -1 where nothing can be said."""
    return abs(float(line.event) - line.expected) if line.counts and line.expected is not None else -1.0


def _quality(line: CaseLine) -> str:
    if line.facts.died_on is not None:
        return "Not asked: the child died"
    if line.facts.quality_of_life is None:
        return "Not known: nobody has answered"
    levels = next(attribute.levels for attribute in in_force().attributes if attribute.code == QUALITY_OF_LIFE)
    return levels[min(line.facts.quality_of_life, len(levels) - 1)]
