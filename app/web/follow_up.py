"""The parents' pages: for a phone, one question a page, complete without script, saved at every step.

The secret of the link leaves the address bar at once for a cookie that no script reads. Nothing personal is shown, and nothing changes, before
the child's date of birth was given in this browser. Whatever is wrong with a link, the page is the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.fhir.errors import Invalid
from app.registry.follow_up import answers as follow_up
from app.registry.follow_up.links import Link, LinkClosed, WrongBirthDate, open_link, prove
from app.web import csrf
from app.web.pages import page, render

TOKEN, PROOF = "csor_follow_up", "csor_follow_up_proof"
WEEK = 7 * 24 * 3600
Handler = Callable[[Request], Awaitable[Response]]


def routes(context: Any) -> list[BaseRoute]:
    """Public routes: the link is the key."""
    pages = Pages(context)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, page(pages.open(handler), context, signed_in=False), methods=list(methods or ("GET",)))

    return [
        route("/follow-up", pages.birth_date, "GET", "POST"),
        route("/follow-up/about", pages.about, "GET", "POST"),
        route("/follow-up/stop", pages.stop, "GET", "POST"),
        route("/follow-up/question/{number:int}", pages.question, "GET", "POST"),
        route("/follow-up/check", pages.check, "GET", "POST"),
        route("/follow-up/thank-you", pages.thank_you),
        route("/follow-up/{token}", pages.enter),
    ]


class Pages:
    """The handlers. Each that needs a link raises LinkClosed where there is none that is open."""

    def __init__(self, context: Any) -> None:
        self.store = context.store

    def open(self, handler: Handler) -> Handler:
        """Wrap a handler: form tokens are checked on POST, and a closed link is answered by its page."""

        async def wrapped(request: Request) -> Response:
            try:
                if request.method == "POST":
                    request.state.form = await request.form(max_files=0, max_fields=50)
                    csrf.check(request, str(request.state.form.get(csrf.FIELD, "")))
                response = await handler(request)
            except LinkClosed as closed:
                response = render(request, "follow_up/closed.html", status=404, sentence=str(closed))
            response.headers["referrer-policy"] = "no-referrer"
            return response

        return wrapped

    async def enter(self, request: Request) -> Response:
        """The link from the letter. Mail scanners open it too, so it changes nothing."""
        response = RedirectResponse("/follow-up", 303, {"cache-control": "no-store"})
        _keep(request, response, TOKEN, request.path_params["token"])
        return response

    async def birth_date(self, request: Request) -> Response:
        token = request.cookies.get(TOKEN, "")
        link = await open_link(self.store, token)
        if request.method == "GET":
            return render(request, "follow_up/birth_date.html", values={}, problem=None)
        values = {part: str(request.state.form.get(part, "")).strip() for part in ("day", "month", "year")}
        try:
            given = date(int(values["year"]), int(values["month"]), int(values["day"]))
        except ValueError:
            problem = "Write your child's date of birth as three numbers, for example 27 3 2024."
            return render(request, "follow_up/birth_date.html", status=422, values=values, problem=problem)
        child = (await follow_up.child_of(self.store, link)).resource
        try:
            proof = await prove(self.store, token, given, child.get("birthDate"))
        except WrongBirthDate as wrong:
            return render(request, "follow_up/birth_date.html", status=422, values=values, problem=str(wrong))
        response = RedirectResponse("/follow-up/about", 303)
        _keep(request, response, PROOF, proof)
        return response

    async def about(self, request: Request) -> Response:
        link = await self._link(request)
        if request.method == "GET":
            return render(request, "follow_up/about.html", problem=None)
        choice = request.state.form.get("choice")
        if choice == "stop":
            return RedirectResponse("/follow-up/stop", 303)
        if choice != "yes":
            problem = "Choose whether you would like to answer."
            return render(request, "follow_up/about.html", status=422, problem=problem)
        given = await follow_up.draft(self.store, link.data.task)
        await follow_up.keep_draft(self.store, link.data.task, given | {"agreed": "yes"})
        return RedirectResponse("/follow-up/question/1", 303)

    async def stop(self, request: Request) -> Response:
        link = await self._link(request)
        if request.method == "GET":
            return render(request, "follow_up/stop.html")
        await follow_up.refuse(self.store, link)
        return _leave(render(request, "follow_up/stopped.html"))

    async def question(self, request: Request) -> Response:
        link, given = await self._agreed(request)
        items = _items(await follow_up.questionnaire_of(self.store, link.data.task))
        number = request.path_params["number"]
        if not 1 <= number <= len(items):
            return RedirectResponse("/follow-up/question/1", 303)
        item = items[number - 1]
        value, problem = given.get(item["linkId"], ""), None
        if request.method == "POST":
            value = str(request.state.form.get("answer", "")).strip()
            problem = _problem(item, value)
            if problem is None:
                await follow_up.keep_draft(self.store, link.data.task, given | {item["linkId"]: value})
                on_to = (
                    "check" if number == len(items) or request.query_params.get("back") == "check" else f"question/{number + 1}"
                )
                return RedirectResponse(f"/follow-up/{on_to}", 303)
        return render(
            request,
            "follow_up/question.html",
            status=422 if problem else 200,
            item=item,
            help=_help(item),
            options=[option["valueCoding"] for option in item.get("answerOption", ())],
            number=number,
            count=len(items),
            value=value,
            problem=problem,
        )

    async def check(self, request: Request) -> Response:
        link, given = await self._agreed(request)
        questionnaire = await follow_up.questionnaire_of(self.store, link.data.task)
        items = _items(questionnaire)
        for number, item in enumerate(items, 1):
            if _problem(item, given.get(item["linkId"], "")):
                return RedirectResponse(f"/follow-up/question/{number}", 303)
        if request.method == "GET":
            rows = [(number, item["text"], _shown(item, given.get(item["linkId"], ""))) for number, item in enumerate(items, 1)]
            return render(request, "follow_up/check.html", rows=rows, problems=[])
        try:
            await follow_up.submit(self.store, link, {"item": [entry for item in items if (entry := _answer(item, given))]})
        except Invalid as invalid:
            rows = [(number, item["text"], _shown(item, given.get(item["linkId"], ""))) for number, item in enumerate(items, 1)]
            problems = [issue.diagnostics for issue in invalid.issues]
            return render(request, "follow_up/check.html", status=422, rows=rows, problems=problems)
        return _leave(RedirectResponse("/follow-up/thank-you", 303))

    async def thank_you(self, request: Request) -> Response:
        return render(request, "follow_up/thank_you.html")

    async def _link(self, request: Request) -> Link:
        link = await open_link(self.store, request.cookies.get(TOKEN, ""))
        if not link.proven_to(request.cookies.get(PROOF, "")):
            raise LinkClosed
        return link

    async def _agreed(self, request: Request) -> tuple[Link, dict[str, Any]]:
        """The link and the answers so far, of a parent who has agreed to answer."""
        link = await self._link(request)
        given = await follow_up.draft(self.store, link.data.task)
        if given.get("agreed") != "yes":
            raise LinkClosed
        return link, given


def _keep(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=WEEK, path="/follow-up", httponly=True, samesite="lax", secure=secure)


def _leave(response: Response) -> Response:
    for name in (TOKEN, PROOF):
        response.delete_cookie(name, path="/follow-up")
    return response


def _items(questionnaire: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions, without display items."""
    return [item for item in questionnaire["item"] if item["type"] != "display"]


def _help(item: Mapping[str, Any]) -> str:
    return next((child["text"] for child in item.get("item", ()) if child["type"] == "display"), "")


def _problem(item: Mapping[str, Any], value: str) -> str | None:
    """Why `value` does not answer `item`, as a sentence; None if it does."""
    if not value:
        return "Choose one of the answers." if item.get("required") else None
    codes = [option["valueCoding"]["code"] for option in item.get("answerOption", ())]
    if codes and value not in codes:
        return "That is not one of the answers. Choose one of the answers below."
    longest = item.get("maxLength", 10_000)
    return f"Your answer is too long. Use at most {longest} letters." if len(value) > longest else None


def _shown(item: Mapping[str, Any], value: str) -> str:
    codings = [option["valueCoding"] for option in item.get("answerOption", ())]
    return next((coding["display"] for coding in codings if coding["code"] == value), value or "Nothing written")


def _answer(item: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any] | None:
    """The item of the QuestionnaireResponse."""
    value = given.get(item["linkId"], "")
    if not value:
        return None
    coding = next((o["valueCoding"] for o in item.get("answerOption", ()) if o["valueCoding"]["code"] == value), None)
    answer = {"valueCoding": {k: v for k, v in coding.items() if k != "extension"}} if coding else {"valueString": value}
    return {"linkId": item["linkId"], "text": item["text"], "answer": [answer]}
