"""Fill in, check, complete, print, amend."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import clock
from app.fhir.errors import BusinessRule, Conflict, FHIRError, Gone, Invalid, Issue, NotFound
from app.fhir.numbers import whole_number
from app.forms import validate_response
from app.forms.items import CORE, answer_value, extension, form, walk
from app.registry import operative_record
from app.registry.operative_record.case import hospital
from app.registry.operative_record.drafts import Draft, begin_draft, load_draft, save_draft, without_draft
from app.security.access import Access
from app.store.protocol import RecordConflict, Store, Stored
from app.web.operative_record import fields
from app.web.operative_record.begin import form_of, style_url, who
from app.web.pages import access_of, render

HOSPITAL = "hospital"  # asked only of those who could record for several hospitals
_WHICH_HOSPITAL = "Enter the operating hospital’s ODS code: three to ten letters and figures."
_SAVED_ELSEWHERE = (
    "Somebody saved this record in another window since you opened it. Your answers are below; save again to keep them instead."
)


class Fill:
    def __init__(self, context: Any) -> None:
        self.store: Store = context.store

    # ---- the form

    async def show(self, request: Request) -> Response:
        draft = await self.draft(request)
        if isinstance(draft, Response):
            return draft
        return await self.form(request, draft, [])

    async def save(self, request: Request) -> Response:
        """Save what was typed, as it was typed; then judge it, or leave it for later."""
        sent, access = await form_of(request), access_of(request)
        draft = await self.draft(request)
        if isinstance(draft, Response):
            return draft
        questionnaire = operative_record.questionnaire(draft.condition)
        draft.values = fields.posted(questionnaire, sent)
        if ods := str(sent.get(HOSPITAL, "")).strip().upper():
            draft.values[HOSPITAL] = [ods]
        revision = whole_number(str(sent.get("revision", "")))
        try:
            draft.revision = draft.revision if revision is None else revision
            draft = await save_draft(self.store, access, draft)
        except RecordConflict:
            draft.revision = (await load_draft(self.store, access, draft.id)).revision
            return await self.form(request, draft, [Issue("error", "conflict", _SAVED_ELSEWHERE)], status=409)
        if sent.get("action") == "later":
            return RedirectResponse("/operative-record?saved=yes", 303)
        _, issues = await self.judged(access, draft)
        if issues:
            return await self.form(request, draft, issues, status=422)
        return RedirectResponse(f"/operative-record/{draft.id}/check", 303)

    async def form(self, request: Request, draft: Draft, issues: Sequence[Issue], *, status: int = 200) -> Response:
        access = access_of(request)
        patient = await self.store.read(access, "Patient", draft.patient)
        errors: dict[str, str] = {}
        for issue in issues:
            link = getattr(issue, "link_id", "")
            errors.setdefault(link, _WHICH_HOSPITAL if link == HOSPITAL else issue.diagnostics)
        questionnaire = operative_record.questionnaire(draft.condition)
        parts = fields.sections(questionnaire, draft.values, errors)
        targets = {field.link: field.target for part in parts for field in part.fields}
        return render(
            request,
            "operative_record/form.html",
            status=status,
            draft=draft,
            title=questionnaire["title"],
            child=who(patient.resource),
            style=style_url(draft.condition),
            sections=parts,
            errors=[(targets.get(link, link), sentence) for link, sentence in errors.items()],
            ask_hospital=self.asks_hospital(access, patient),
            hospital=(draft.values.get(HOSPITAL) or [""])[0],
            hospital_error=errors.get(HOSPITAL, ""),
        )

    # ---- check, complete

    async def check(self, request: Request) -> Response:
        draft, access = await self.draft(request), access_of(request)
        if isinstance(draft, Response):
            return draft
        response, issues = await self.judged(access, draft)
        if issues:
            return await self.form(request, draft, issues, status=422)
        patient = await self.store.read(access, "Patient", draft.patient)
        questionnaire = operative_record.questionnaire(draft.condition)
        return render(
            request,
            "operative_record/check.html",
            draft=draft,
            title=questionnaire["title"],
            child=who(patient.resource),
            sections=summary(questionnaire, response),
        )

    async def complete(self, request: Request) -> Response:
        """Store the record and all that it makes. Pressing twice, or again after a broken line, completes once."""
        await form_of(request)
        draft, access = await self.draft(request), access_of(request)
        if isinstance(draft, Response):
            return draft
        response, issues = await self.judged(access, draft)
        if not issues:
            try:
                await operative_record.complete(self.store, access, response, extra=[without_draft(draft.id)])
            except (Invalid, BusinessRule, Conflict) as error:
                issues = list(error.issues)
        if issues:
            return await self.form(request, draft, issues, status=422)
        return RedirectResponse(f"/operative-record/{draft.id}/note", 303)

    async def judged(self, access: Access, draft: Draft) -> tuple[dict[str, Any], list[Issue]]:
        """The response that a draft amounts to, and all that is wrong with it."""
        questionnaire = operative_record.questionnaire(draft.condition)
        values = {link: given for link, given in draft.values.items() if link != HOSPITAL}
        author: dict[str, Any] = {"display": access.name or access.who}
        if ods := next(iter(draft.values.get(HOSPITAL, ())), None):
            author["reference"] = f"Organization/{ods.lower()}"
        elements = {
            "id": draft.id,
            "status": "amended" if draft.amends else "completed",
            "subject": {"reference": f"Patient/{draft.patient}"},
            "authored": datetime.fromtimestamp(draft.updated // 1_000_000, clock.LONDON).isoformat(),
            "author": author,
        }
        response, issues = fields.answered(questionnaire, values, **elements)
        typed = {getattr(issue, "link_id", None) for issue in issues}
        found = [issue for issue in validate_response(questionnaire, response) if issue.severity in ("error", "fatal")]
        issues += [issue for issue in found if getattr(issue, "link_id", "") not in typed]
        if not issues:
            try:
                await operative_record.writes_for(self.store, access, response)
            except FHIRError as error:
                issues = list(error.issues)
        order = list(form(questionnaire).by_link)
        return response, sorted(
            issues, key=lambda issue: order.index(link) if (link := getattr(issue, "link_id", "")) in order else -1
        )

    # ---- afterwards

    async def note(self, request: Request) -> Response:
        """The operation note, for the screen and for paper."""
        stored = await self.record(request)
        response = stored.resource
        condition = operative_record.condition_of(response)
        if condition is None:
            raise NotFound("There is no such operative record.")
        questionnaire = operative_record.questionnaire(condition)
        patient = await self.store.read(access_of(request), "Patient", response["subject"]["reference"].partition("/")[2])
        return render(
            request,
            "operative_record/note.html",
            id=stored.id,
            amended=response.get("status") == "amended",
            version=stored.version,
            title=questionnaire["title"],
            child=who(patient.resource),
            sections=summary(questionnaire, response),
            authored=_when(response.get("authored", "")),
            by=(response.get("author") or {}).get("display", ""),
        )

    async def amend(self, request: Request) -> Response:
        """Open a completed record as a draft that will amend it."""
        await form_of(request)
        stored, access = await self.record(request), access_of(request)
        condition = operative_record.condition_of(stored.resource)
        if condition is None or stored.resource.get("status") not in operative_record.FINAL:
            raise BusinessRule("Only a completed operative record can be amended.")
        values = fields.typed(operative_record.questionnaire(condition), stored.resource)
        author = str((stored.resource.get("author") or {}).get("reference", ""))
        if author.startswith("Organization/"):
            values[HOSPITAL] = [author.removeprefix("Organization/").upper()]
        patient = stored.resource["subject"]["reference"].partition("/")[2]
        draft = begin_draft(access, condition, patient, values, id=stored.id, amends=True)
        with suppress(RecordConflict):  # it is being amended already: go on with that
            await save_draft(self.store, access, draft)
        return RedirectResponse(f"/operative-record/{stored.id}", 303)

    async def discard(self, request: Request) -> Response:
        """Throw a draft away; a completed record stays as it is."""
        await form_of(request)
        await self.store.commit(access_of(request), [without_draft(request.path_params["id"])])
        return RedirectResponse("/operative-record", 303)

    # ---- parts

    async def draft(self, request: Request) -> Draft | Response:
        """The draft of this address, or the way to the note where it has been completed."""
        access, id_ = access_of(request), request.path_params["id"]
        try:
            return await load_draft(self.store, access, id_)
        except NotFound:
            await self.record(request)
            return RedirectResponse(f"/operative-record/{id_}/note", 303)

    async def record(self, request: Request) -> Stored:
        try:
            return await self.store.read(access_of(request), "QuestionnaireResponse", request.path_params["id"])
        except (NotFound, Gone):
            raise NotFound("There is no such operative record. It may have been thrown away.") from None

    @staticmethod
    def asks_hospital(access: Access, patient: Stored) -> bool:
        try:
            hospital(access, patient, {})
        except Invalid:
            return True
        return False


def summary(questionnaire: dict[str, Any], response: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers by section, as rows of label and text; sections and questions without an answer are left out."""
    by_link = form(questionnaire).by_link
    found = []
    for group in response.get("item") or ():
        rows = []
        for _, entry in walk([group]):
            item = by_link.get(entry["linkId"])
            texts = [_shown(*answer_value(answer)) for answer in entry.get("answer") or ()]
            if item is not None and texts:
                if unit := extension(item.json, f"{CORE}questionnaire-unit"):
                    texts = [f"{text} {unit['display']}" for text in texts]
                label = item.label if item.label[0].isupper() else item.label.capitalize()
                rows.append({"link": item.link_id, "label": label, "text": "\n".join(texts), "long": item.type == "text"})
        if rows:
            found.append({"title": group.get("text", ""), "rows": rows})
    return found


def _shown(key: str, value: Any) -> str:
    if key == "valueBoolean":
        return "Yes" if value else "No"
    if key == "valueCoding":
        code = f" ({value['code']})" if "opcs" in value.get("system", "") else ""
        return f"{value.get('display', value.get('code', ''))}{code}"
    return _when(value) if key == "valueDateTime" else str(value)


def _when(text: str) -> str:
    if len(text) <= 10:
        return "/".join(reversed(text.split("-")))
    return datetime.fromisoformat(text).astimezone(clock.LONDON).strftime("%d/%m/%Y %H:%M")
