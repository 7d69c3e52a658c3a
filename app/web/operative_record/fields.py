"""Between a questionnaire and an HTML form: which fields to show, and what was typed into them.

What a person typed is kept as typed until it is right. Times are London's, as on the theatre's clock.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from app import clock
from app.clock import LONDON
from app.fhir.errors import Invalid, Issue
from app.forms import enabled
from app.forms.entry import respond
from app.forms.items import CORE, Form, Item, ItemIssue, answer_value, extension, extensions, form, part, walk

Values = Mapping[str, Sequence[str]]
LONG_LIST = 8  # more options than this are a drop-down
_LOCAL = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::\d\d)?")
_WRITTEN = re.compile(r"(\d\d?)/(\d\d?)/(\d{4}),? (\d\d?)[:.](\d\d)")


@dataclass(slots=True)
class Option:
    value: str
    label: str
    id: str
    chosen: bool


@dataclass(slots=True)
class Field:
    """One question as the template shows it. `kind`: text, number, datetime, textarea, radios, select or checkboxes."""

    link: str
    label: str
    kind: str
    required: bool  # or bound by a rule of the questionnaire: not to be called optional
    hint: str = ""
    only_if: str = ""
    suffix: str = ""
    width: str = ""
    most: int | None = None
    folded: bool = False
    values: Sequence[str] = ()
    options: list[Option] = field(default_factory=list)
    error: str = ""

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""

    @property
    def target(self) -> str:
        """Where a link to this question leads: its input, or its first option."""
        return self.options[0].id if self.options and self.kind != "select" else self.link

    @property
    def inline(self) -> bool:
        return len(self.options) <= 3 and all(len(option.label) < 14 for option in self.options)


@dataclass(slots=True)
class Section:
    link: str
    title: str
    hint: str
    fields: list[Field]


def sections(questionnaire: Mapping[str, Any], values: Values, errors: Mapping[str, str]) -> list[Section]:
    """The groups of the questionnaire with their fields, in order; a group in a group adds its fields to it."""
    indexed = form(questionnaire)
    made = []
    for group in indexed.roots:
        fields = [_field(item, values, errors, indexed) for item in _questions(group)]
        made.append(Section(group.link_id, str(group.json.get("text", "")), _hint(group), fields))
    return made


def _questions(item: Item) -> Iterator[Item]:
    for child in item.children:
        if child.type == "group":
            yield from _questions(child)
        elif child.type != "display":
            yield child


def _hint(item: Item) -> str:
    return next((str(child.json.get("text", "")) for child in item.children if child.type == "display"), "")


def _field(item: Item, values: Values, errors: Mapping[str, str], form: Form) -> Field:
    ruled = {part(rule, "location") for rule in extensions(form.questionnaire, f"{CORE}questionnaire-constraint")}
    chosen = values.get(item.link_id, ())
    made = Field(
        link=item.link_id,
        label=str(item.json.get("text", "")),
        kind=_kind(item),
        required=bool(item.json.get("required")) or item.link_id in ruled,
        hint=_hint(item),
        only_if=only_if(item, form.by_link),
        most=item.json.get("maxLength"),
        values=chosen,
        error=errors.get(item.link_id, ""),
    )
    unit = extension(item.json, f"{CORE}questionnaire-unit")
    if unit:
        made.suffix = str(unit.get("display", ""))
    if made.kind == "number":
        made.width = "nhsuk-input--width-5"
    made.options = [Option(value, label, f"{item.link_id}-{value}", value in chosen) for value, label in choices(item)]
    made.folded = made.kind == "checkboxes" and len(made.options) > LONG_LIST and not chosen and not made.error
    return made


def _kind(item: Item) -> str:
    if item.type in ("boolean", "choice"):
        if item.repeats:
            return "checkboxes"
        return "select" if len(item.json.get("answerOption") or ()) > LONG_LIST else "radios"
    return {"dateTime": "datetime", "integer": "number", "decimal": "number", "text": "textarea"}.get(item.type, "text")


def choices(item: Item) -> list[tuple[str, str]]:
    """The values that a field offers, with what they are called."""
    if item.type == "boolean":
        return [("true", "Yes"), ("false", "No")]
    codings = [option.get("valueCoding", {}) for option in item.json.get("answerOption") or ()]
    return [(str(coding.get("code")), str(coding.get("display", coding.get("code")))) for coding in codings]


def only_if(item: Item, by_link: Mapping[str, Item]) -> str:
    """The item's condition in words, for browsers that cannot hide it."""
    at = item
    while "enableWhen" not in at.json and at.parent is not None:
        at = at.parent
    phrases: dict[str, list[str]] = {}
    for condition in at.json.get("enableWhen") or ():
        asked = by_link[condition["question"]]
        _, wanted = next((key, value) for key, value in condition.items() if key.startswith("answer"))
        code = str(wanted["code"] if isinstance(wanted, Mapping) else wanted).lower() if condition["operator"] != "exists" else ""
        name = {value.lower(): label for value, label in choices(asked)}.get(code, "any answer")
        phrases.setdefault(asked.label, []).append(f"“{name}”")
    return "; or ".join(f"{label} is {' or '.join(names)}" for label, names in phrases.items())


# ---- typed and stored -----------------------------------------------------------------------------------------------


def typed(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, list[str]]:
    """The answers of a response as form fields."""
    by_link = form(questionnaire).by_link
    values: dict[str, list[str]] = {}
    for _, entry in walk(response.get("item") or ()):
        item = by_link.get(str(entry.get("linkId")))
        for answer in entry.get("answer") or ():
            key, value = answer_value(answer)
            if item is not None and key:
                values.setdefault(item.link_id, []).append(_typed(key, value))
    return values


def _typed(key: str, value: Any) -> str:
    if key == "valueBoolean":
        return "true" if value else "false"
    if key == "valueCoding":
        return str(value.get("code", ""))
    if key == "valueDateTime" and len(value) > 10:
        return datetime.fromisoformat(value).astimezone(LONDON).strftime("%Y-%m-%dT%H:%M")
    return str(value)


def posted(questionnaire: Mapping[str, Any], fields: Any) -> dict[str, list[str]]:
    """What a form sent for the questionnaire's items, trimmed, empty ones left out. `fields` is Starlette's FormData."""
    values = {}
    for link in form(questionnaire).by_link:
        given = [str(value).replace("\r\n", "\n").strip() for value in fields.getlist(link) if isinstance(value, str)]
        if kept := [value for value in given if value]:
            values[link] = kept
    return values


def answered(questionnaire: Mapping[str, Any], values: Values, **elements: Any) -> tuple[dict[str, Any], list[Issue]]:
    """The response that the fields amount to, and what was typed that means nothing. `elements` go into the response."""
    by_link = form(questionnaire).by_link
    issues: list[Issue] = []
    natural: dict[str, list[Any]] = {}
    for link, given in values.items():
        item = by_link[link]
        for text in given:
            try:
                natural.setdefault(link, []).append(_natural(item, text))
            except ValueError as error:
                issues.append(ItemIssue("error", "value", str(error), link_id=link, rule="typed"))
    try:
        response = respond(questionnaire, natural, **elements)
    except Invalid as error:
        issues.extend(error.issues)
        wrong = {getattr(issue, "link_id", "") for issue in error.issues}
        response = respond(questionnaire, {link: given for link, given in natural.items() if link not in wrong}, **elements)
    asked = enabled(questionnaire, response)  # nobody can mend a field that the other answers hide
    return response, [
        issue for issue in issues if getattr(issue, "rule", "") != "typed" or getattr(issue, "link_id", "") in asked
    ]


def _natural(item: Item, text: str) -> Any:
    """Raises ValueError with a sentence."""
    if item.type == "boolean":
        if text not in ("true", "false"):
            raise ValueError(f"“{item.label}” does not offer this answer. Choose one of those listed.")
        return text == "true"
    if item.type == "integer":
        plain = text.replace(",", "").replace(" ", "")
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", plain):
            raise ValueError(f"“{item.label}” must be a whole number, in figures.")
        return int(plain)
    if item.type == "decimal":
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or len(text) > 20:
            raise ValueError(f"“{item.label}” must be a number, such as 2.5.")
        return number
    if item.type == "dateTime":
        return _moment(item, text)
    return text


def _moment(item: Item, text: str) -> str:
    local, written = _LOCAL.fullmatch(text), _WRITTEN.fullmatch(text)
    try:
        if local:
            year, month, day, hour, minute = map(int, local.groups())
        elif written:
            day, month, year, hour, minute = map(int, written.groups())
        else:
            raise ValueError
        moment = datetime(year, month, day, hour, minute, tzinfo=LONDON)
    except ValueError:
        raise ValueError(f"“{item.label}” must be a real date and time, such as {clock.today():%d/%m/%Y} 09:30.") from None
    if moment.astimezone(UTC).astimezone(LONDON).replace(tzinfo=None) != moment.replace(tzinfo=None):
        raise ValueError(f"“{item.label}”: the clocks went forward and this hour did not exist.")
    return moment.isoformat()
