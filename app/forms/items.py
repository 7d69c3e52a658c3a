"""A questionnaire's items and a response's answers, as the rest of the room walks them.

An item is known by its linkId, which is unique in a questionnaire; a response item by its path, such as
`QuestionnaireResponse.item[1].item[0]`. Values are plain JSON; nothing here changes what it is given.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.fhir.errors import Invalid, Issue

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
CORE = "http://hl7.org/fhir/StructureDefinition/"
EXPRESSION = f"{SDC}sdc-questionnaire-enableWhenExpression"

# value[x] of an answer for each item type; choices and open choices also take the types of their options.
VALUE_KEYS: Mapping[str, str] = {
    "boolean": "valueBoolean",
    "decimal": "valueDecimal",
    "integer": "valueInteger",
    "date": "valueDate",
    "dateTime": "valueDateTime",
    "time": "valueTime",
    "string": "valueString",
    "text": "valueString",
    "url": "valueUri",
    "choice": "valueCoding",
    "open-choice": "valueCoding",
    "attachment": "valueAttachment",
    "reference": "valueReference",
    "quantity": "valueQuantity",
}


@dataclass(frozen=True, slots=True)
class ItemIssue(Issue):
    """An issue with one item: `link_id` finds its field on a page, `rule` names what was broken."""

    link_id: str = ""
    rule: str = ""


@dataclass(slots=True, eq=False)
class Item:
    """One item of a questionnaire, with its place in it."""

    json: Mapping[str, Any]
    parent: "Item | None"
    link_id: str
    type: str
    repeats: bool
    conditional: bool  # has a condition of its own
    urls: frozenset[str]  # of its extensions, so that what most items have not costs nothing to look for
    offered: tuple[Any, ...]  # the values of its answerOptions
    takes: frozenset[str]  # names of the value[x] that answer it
    children: list["Item"] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What a sentence calls the item: its short text, else its text, else its linkId."""
        return str(extension(self.json, f"{SDC}sdc-questionnaire-shortText") or self.json.get("text") or self.link_id)

    def ancestors(self) -> Iterator["Item"]:
        """The items around this one, innermost first."""
        parent = self.parent
        while parent is not None:
            yield parent
            parent = parent.parent


class Form(NamedTuple):
    """A questionnaire ready to be walked."""

    questionnaire: Mapping[str, Any]
    roots: Sequence[Item]
    by_link: Mapping[str, Item]
    fillers: dict[str, Any]  # of its templates, by id: made when first used


_KEPT = 32
_forms: OrderedDict[int, Form] = OrderedDict()


def form(questionnaire: Mapping[str, Any]) -> Form:
    """Index a questionnaire, which must not be changed in place afterwards: the last ones are remembered.

    Raises Invalid where an item has no linkId or one that another has.
    """
    known = _forms.get(id(questionnaire))
    if known is not None and known.questionnaire is questionnaire:
        return known
    made = _forms[id(questionnaire)] = _indexed(questionnaire)  # holds the questionnaire, so its id stays its own
    while len(_forms) > _KEPT:
        _forms.popitem(last=False)
    return made


def _indexed(questionnaire: Mapping[str, Any]) -> Form:
    by_link: dict[str, Item] = {}
    issues: list[Issue] = []

    def build(entries: Sequence[Mapping[str, Any]], parent: Item | None, path: str) -> list[Item]:
        built = []
        for index, entry in enumerate(entries):
            here = f"{path}.item[{index}]"
            conditional = "enableWhen" in entry or extension(entry, EXPRESSION) is not None
            kind, options = str(entry.get("type", "")), [answer_value(option) for option in entry.get("answerOption") or ()]
            item = Item(
                json=entry,
                parent=parent,
                link_id=str(entry.get("linkId", "")),
                type=kind,
                repeats=bool(entry.get("repeats")),
                conditional=conditional,
                urls=frozenset(str(each.get("url")) for each in entry.get("extension") or ()),
                offered=tuple(value for _, value in options),
                takes=_takes(kind, {key for key, _ in options if key}),
            )
            if not item.link_id or item.link_id in by_link:
                issues.append(Issue("error", "invalid", "Each item needs a linkId of its own.", f"{here}.linkId"))
            by_link[item.link_id] = item
            item.children = build(entry.get("item") or (), item, here)
            built.append(item)
        return built

    roots = build(questionnaire.get("item") or (), None, "Questionnaire")
    if issues:
        raise Invalid(issues=issues)
    return Form(questionnaire, roots, by_link, {})


def _takes(kind: str, options: set[str]) -> frozenset[str]:
    if kind not in ("choice", "open-choice"):
        return frozenset((VALUE_KEYS.get(kind, ""),))
    return frozenset((options or {VALUE_KEYS[kind]}) | ({"valueString"} if kind == "open-choice" else set()))


def extension(element: Mapping[str, Any], url: str) -> Any:
    """The value of the first extension `url`, or None."""
    return next(extensions(element, url), None)


def extensions(element: Mapping[str, Any], url: str) -> Iterator[Any]:
    """The value of each extension `url`; of one made of parts, the extension itself."""
    for entry in element.get("extension") or ():
        if entry.get("url") == url:
            yield next((value for key, value in entry.items() if key.startswith("value")), entry)


def part(entry: Mapping[str, Any], name: str) -> Any:
    """The value of the part `name` of a complex extension, or None."""
    return extension(entry, name)


def answer_value(answer: Mapping[str, Any]) -> tuple[str, Any]:
    """`("valueCoding", {...})`, or `("", None)` for an answer without a value."""
    return next(((key, value) for key, value in answer.items() if key.startswith("value")), ("", None))


def walk(entries: Sequence[Mapping[str, Any]], path: str = "QuestionnaireResponse") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every response item with its path, outermost first; items below answers too."""
    for index, entry in enumerate(entries):
        here = f"{path}.item[{index}]"
        yield here, entry
        yield from walk(entry.get("item") or (), here)
        for number, answer in enumerate(entry.get("answer") or ()):
            yield from walk(answer.get("item") or (), f"{here}.answer[{number}]")


def answers(response: Mapping[str, Any], link_id: str) -> list[Any]:
    """All answered values of an item, anywhere in the response."""
    return [
        answer_value(answer)[1]
        for _, entry in walk(response.get("item") or ())
        if entry.get("linkId") == link_id
        for answer in entry.get("answer") or ()
    ]


def first(response: Mapping[str, Any], link_id: str) -> Any:
    """The first answered value of an item, or None."""
    return next(iter(answers(response, link_id)), None)


def children_of(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The response items right below `entry`, under its answers too."""
    yield from entry.get("item") or ()
    for answer in entry.get("answer") or ():
        yield from answer.get("item") or ()


def same_coding(one: Any, other: Any) -> bool:
    """Whether two codings mean the same: by code, and by system where both give one."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping) or one.get("code") != other.get("code"):
        return False
    return "system" not in one or "system" not in other or one["system"] == other["system"]
