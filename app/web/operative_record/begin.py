"""The first page: which child, which condition; and the records that wait to be completed."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import clock, names
from app.fhir.errors import Forbidden, Gone, NotFound
from app.registry import operative_record
from app.registry.operative_record.drafts import begin_draft, drafts, save_draft
from app.registry.patients import normal_nhs_number
from app.registry.plans import by_identifier
from app.security.access import Access
from app.store.protocol import Store, Stored
from app.web import csrf
from app.web.operative_record.fields import typed
from app.web.operative_record.style import style
from app.web.pages import access_of, render


async def form_of(request: Request) -> FormData:
    """The posted form. Raises Forbidden where it is not one of ours, or the caller may not write."""
    form = await request.form()
    csrf.check(request, str(form.get(csrf.FIELD, "")))
    if not access_of(request).may_write:
        raise Forbidden("You may read here, but not record operations.")
    return form


def style_url(condition: str) -> str:
    """The address of a questionnaire's style sheet; it changes with the questionnaire."""
    return f"/operative-record/style/{hashlib.sha256(style(condition)).hexdigest()[:12]}/{condition}.css"


def who(patient: dict[str, Any]) -> dict[str, str]:
    """What the top of a page tells of a child: enough to see that it is the right one."""
    name: dict[str, Any] = next(iter(patient.get("name") or ()), {})
    text = name.get("text") or " ".join([*(name.get("given") or ()), name.get("family") or ""]).strip()
    numbers = [entry.get("value", "") for entry in patient.get("identifier") or () if entry.get("system") == names.NHS_NUMBER]
    number = numbers[0] if numbers else ""
    born = str(patient.get("birthDate", ""))
    return {
        "name": text or "Name not known",
        "born": "/".join(reversed(born.split("-"))) or "not known",
        "nhs": f"{number[:3]} {number[3:6]} {number[6:]}" if len(number) == 10 else number or "not known",
    }


class Begin:
    def __init__(self, context: Any) -> None:
        self.store: Store = context.store

    async def show(self, request: Request) -> Response:
        """`?patient=` comes from the hospital's record system; the page works without it too."""
        id_ = request.query_params.get("patient", "")
        patient = await self.patient(access_of(request), id_) if id_ else None
        condition = request.query_params.get("condition", "")
        if patient is not None and not condition:
            condition = await operative_record.likely_condition(self.store, access_of(request), patient.id) or ""
        return await self.page(request, patient, {"condition": condition}, {})

    async def start(self, request: Request) -> Response:
        """Begin a record for a child that was found."""
        form, access = await form_of(request), access_of(request)
        given = {name: str(form.get(name, "")).strip() for name in ("patient", "nhs-number", "condition")}
        patient = await self.patient(access, given["patient"]) if given["patient"] else None
        errors: dict[str, str] = {}
        if patient is None:
            patient, errors = await self.by_number(access, given["nhs-number"])
        if given["condition"] not in names.CONDITIONS:
            errors["condition"] = "Choose the condition that was operated on. It must be one of those listed."
        if errors or patient is None:
            return await self.page(request, patient if given["patient"] else None, given, errors, status=422)
        draft = await operative_record.begin(self.store, access, patient, given["condition"])
        values = typed(operative_record.questionnaire(given["condition"]), draft)
        saved = await save_draft(self.store, access, begin_draft(access, given["condition"], patient.id, values))
        return RedirectResponse(f"/operative-record/{saved.id}", 303)

    async def style(self, request: Request) -> Response:
        """The style sheet that shows and hides questions."""
        body = style(request.path_params["condition"])
        return Response(body, media_type="text/css", headers={"cache-control": "private, max-age=31536000, immutable"})

    async def patient(self, access: Access, id_: str) -> Stored:
        try:
            return await self.store.read(access, "Patient", id_)
        except (NotFound, Gone):
            raise NotFound("There is no such child in your hospital’s records here.") from None

    async def by_number(self, access: Access, text: str) -> tuple[Stored | None, dict[str, str]]:
        """The child of the caller's own hospital with this number. A child that only others know is not shown by guessing numbers."""
        number = normal_nhs_number(text)
        if number is None:
            sentence = "Enter the child’s NHS number." if not text else "This is not an NHS number: check its ten digits."
            return None, {"nhs-number": sentence}
        found = (await self.store.search(access, by_identifier("Patient", (names.NHS_NUMBER, number)))).matches
        active = [patient for patient in found if patient.resource.get("active", True)]
        if len(active) == 1:
            return active[0], {}
        return None, {
            "nhs-number": "No child with this NHS number is known to your hospital here. Check the number, or admit the child first."
        }

    async def page(
        self, request: Request, patient: Stored | None, given: dict[str, str], errors: dict[str, str], *, status: int = 200
    ) -> Response:
        access = access_of(request)
        waiting = await drafts(self.store, access, patient.id if patient else None)
        found = await self.store.read_many(access, [f"Patient/{draft.patient}" for draft in waiting])
        children = {child.id: who(child.resource) for child in found}
        return render(
            request,
            "operative_record/begin.html",
            status=status,
            patient=patient,
            child=who(patient.resource) if patient else None,
            conditions=[(code, operative_record.condition_name(code)) for code in names.CONDITIONS],
            given={"condition": "", "nhs-number": ""} | given,
            errors=errors,
            summary=[
                ({"condition": f"condition-{names.CONDITIONS[0]}"}.get(link, link), sentence) for link, sentence in errors.items()
            ],
            drafts=[
                {
                    "id": draft.id,
                    "condition": operative_record.condition_name(draft.condition),
                    "child": children.get(draft.patient, {"name": "Name not known", "born": ""}),
                    "saved": datetime.fromtimestamp(draft.updated / 1e6, UTC).astimezone(clock.LONDON).strftime("%d/%m/%Y %H:%M"),
                }
                for draft in waiting
            ],
            saved=request.query_params.get("saved") == "yes",
        )
