"""Pages for people: made on the server, complete without script, small, WCAG 2.2 AA.

`routes(context)` gathers the routes of every module listed in `_MODULES`; each has a `routes(context)` of its own. `context` is
`app.api.context.Context`. The last module answers what no other did. Pages know HTTP and the rooms below; they know no SQL and hold no state.
"""

from importlib import import_module
from typing import Any

from starlette.routing import BaseRoute

_MODULES = ("assets", "start", "sign_in", "documentation", "public", "hospital", "follow_up", "operative_record", "nowhere")


def routes(context: Any) -> list[BaseRoute]:
    """Every page's route, for `app.main` to mount."""
    found: list[BaseRoute] = []
    for name in _MODULES:
        found.extend(import_module(f"{__name__}.{name}").routes(context))
    return found
