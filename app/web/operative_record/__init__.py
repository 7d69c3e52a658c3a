"""The surgeon's pages: begin an operative record, fill it in on one page, check it, complete it, print the note.

One entry only: the form is the operation note and the notification of the case. Every post is saved as it came before it is judged, so
nothing that was typed is lost. Children are found by an opaque id from the hospital's record system, or by NHS number in a post,
never in a URL.
"""

from typing import Any

from starlette.routing import BaseRoute, Route

from app.web.operative_record.begin import Begin
from app.web.operative_record.fill import Fill
from app.web.pages import page


def routes(context: Any) -> list[BaseRoute]:
    """The routes, each behind sign-in."""
    begin, fill = Begin(context), Fill(context)

    def route(path: str, get: Any = None, post: Any = None) -> list[BaseRoute]:
        found: list[BaseRoute] = []
        for method, handler in (("GET", get), ("POST", post)):
            if handler is not None:
                found.append(Route(path, page(handler, context), methods=[method]))
        return found

    return [
        *route("/operative-record", begin.show, begin.start),
        *route("/operative-record/style/{digest}/{condition}.css", begin.style),
        *route("/operative-record/{id}", fill.show, fill.save),
        *route("/operative-record/{id}/check", fill.check, fill.complete),
        *route("/operative-record/{id}/note", fill.note),
        *route("/operative-record/{id}/amend", post=fill.amend),
        *route("/operative-record/{id}/discard", post=fill.discard),
    ]
