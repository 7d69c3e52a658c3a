"""Questions that depend on other answers, shown and hidden by the browser itself: `enableWhen` as a style sheet, no script.

Where a browser does not know `:has`, everything is shown, each such question with its condition in words. The server judges the same
conditions again when the form comes in, so nothing depends on this sheet.
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from app.forms.items import Item, form
from app.registry.operative_record import questionnaire


@cache
def style(condition: str) -> bytes:
    """The sheet for one condition's questionnaire. Raises NotFound."""
    indexed = form(questionnaire(condition))
    rules = [".csor-if{display:none}.csor-only-if{display:none}"]
    for item in indexed.by_link.values():
        if any("enableWhen" in at.json for at in (item, *item.ancestors())) and item.type not in ("group", "display"):
            alternatives = _shown(item, indexed.by_link)
            rules.append(",".join(f"form{chain} #if-{item.link_id}" for chain in alternatives) + "{display:block}")
    return ("@supports selector(:has(*)){" + "".join(rules) + "}\n").encode()


def _shown(item: Item, by_link: Mapping[str, Item]) -> list[str]:
    """Chains of `:has(…)`, any of which shows the item: its own condition, and those of what it depends on."""
    levels = [
        [f":has({_ticked(c)}){chain}" for c in at.json["enableWhen"] for chain in _shown(by_link[c["question"]], by_link)]
        for at in (item, *item.ancestors())
        if "enableWhen" in at.json
    ]
    return ["".join(chosen) for chosen in product(*levels)]


def _ticked(condition: Mapping[str, Any]) -> str:
    name = condition["question"]
    if condition["operator"] == "exists":
        return f'[name="{name}"]:checked'
    wanted = condition.get("answerCoding", {}).get("code")
    value = wanted or ("true" if condition.get("answerBoolean") else "false")
    return f':is([name="{name}"][value="{value}"],[name="{name}"] [value="{value}"]):checked'
