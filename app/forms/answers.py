"""The rules for one answer: its type, its options, its limits. Each broken rule is one sentence that a person can act on.

Rule names follow the vocabulary of the shared questionnaire tests (`invalidAnswerType`, `minValue`, ...). Limits of quantities are
compared in UCUM units that measure the same thing. A regular expression runs on a linear-time engine, so no pattern can hang the server.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from app.fhir import ucum
from app.fhir.definitions import r4
from app.forms.expressions import Evaluate
from app.forms.expressions import limit as worked_out
from app.forms.items import CORE, SDC, Item, extension, extensions, same_coding

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_URL = re.compile(rf"urn:uuid:{_UUID}|(?!urn:uuid:)[A-Za-z][A-Za-z0-9+.-]+:[^\s\\]+|[A-Za-z0-9./_~%-]+")  # relative ones too
_REFERENCE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]+://[^\s]+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?"
)

# The codings of a value set, or None where it is not known here.
Options = Callable[[str], Sequence[Mapping[str, Any]] | None]


class Broken(NamedTuple):
    """One broken rule of an answer. `code` is an R4 IssueType."""

    rule: str
    code: str
    sentence: str
    severity: str = "error"


def is_blank(key: str, value: Any) -> bool:
    """True where an answer is there and says nothing."""
    return key == "" or (isinstance(value, str) and not value.strip())


def type_of_answer(item: Item, key: str, value: Any) -> Broken | None:
    """Whether the answer is of a type that the item takes."""
    if item.type == "question":
        return Broken(
            "invalidType", "structure", f"“{item.label}” has the type 'question', which is abstract and takes no answer."
        )
    if key not in item.takes:
        names = " or ".join(sorted(name.removeprefix("value") for name in item.takes if name)) or "no answer"
        return Broken(
            "invalidAnswerType",
            "structure",
            f"“{item.label}” takes {names}, not {key.removeprefix('value') or 'an empty answer'}.",
        )
    shapes: dict[str, type | tuple[type, ...]] = {
        "valueBoolean": bool,
        "valueInteger": int,
        "valueDecimal": (int, Decimal, float),
    }
    expected = shapes.get(key, dict if key in ("valueCoding", "valueQuantity", "valueReference", "valueAttachment") else str)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        return Broken(
            "invalidAnswerType", "structure", f"“{item.label}” has an answer that is not a {key.removeprefix('value')}."
        )
    return None


def _options(item: Item, questionnaire: Mapping[str, Any], options: Options | None) -> Sequence[Any] | None:
    """All values that the item offers, or None where that is open or not known."""
    if item.offered:
        return item.offered
    value_set = item.json.get("answerValueSet")
    if not value_set:
        return None
    if value_set.startswith("#"):
        contained = next((c for c in questionnaire.get("contained") or () if c.get("id") == value_set[1:]), None)
        return contained_codings(contained) if contained else None
    return options(value_set) if options else None


def contained_codings(value_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The codings that a ValueSet spells out, from its expansion or else its own lists."""
    if expansion := value_set.get("expansion"):
        return [
            {key: entry[key] for key in ("system", "code", "display") if key in entry}
            for entry in expansion.get("contains") or ()
        ]
    return [
        {"system": include.get("system", ""), **{key: concept[key] for key in ("code", "display") if key in concept}}
        for include in (value_set.get("compose") or {}).get("include") or ()
        for concept in include.get("concept") or ()
    ]


def choice(item: Item, key: str, value: Any, questionnaire: Mapping[str, Any], options: Options | None) -> Broken | None:
    """Whether the answer is among those that the item offers."""
    if item.type == "open-choice" and key == "valueString":
        return None
    offered = _options(item, questionnaire, options)
    if offered is None:
        unknown = item.json.get("answerValueSet") if options and not item.json.get("answerOption") else None
        sentence = f"“{item.label}” could not be checked: the codes of {unknown} are not known here."
        return Broken("tsError", "code-invalid", sentence, "warning") if unknown else None
    if key == "valueString" and not item.json.get("answerOption"):  # a text that is held to a value set is one of its codes
        value = {"code": value}
        key = "valueCoding"
    if any(_chosen(value, option) if key == "valueCoding" else value == option for option in offered):
        return None
    if key == "valueReference" and any(isinstance(o, Mapping) and o.get("reference") == value.get("reference") for o in offered):
        return None
    rule = "invalidAnswerOption" if item.json.get("answerOption") else "invalidCoding"
    return Broken(rule, "code-invalid", f"“{item.label}” does not offer this answer. Choose one of those listed.")


def _chosen(coding: Any, option: Any) -> bool:
    """The option's code, and not another one's words: a person reads the display, a machine the code."""
    if not same_coding(coding, option):
        return False
    said, meant = coding.get("display"), option.get("display")
    return not said or not meant or said.casefold().split() == meant.casefold().split()


def _unit(quantity: Mapping[str, Any]) -> str:
    return str(quantity.get("code", quantity.get("unit")))


def _limit(value: Any, limit: Any) -> tuple[Any, Any] | None:
    """Both sides made comparable, or None where they are not of one kind or unit."""
    if isinstance(value, Mapping) and isinstance(limit, Mapping):
        number = value.get("value")
        in_its_unit = ucum.convert(number, _unit(value), _unit(limit)) if isinstance(number, int | Decimal) else None
        value, limit = in_its_unit, limit.get("value")
    if isinstance(value, Mapping) and not isinstance(limit, Mapping):
        value = value.get("value")
    if isinstance(value, str) and isinstance(limit, str):
        length = min(len(value), len(limit))
        return value[:length], limit[:length]
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not isinstance(limit, int | Decimal):
        return None
    return value, limit


def _shown(limit: Any) -> str:
    if isinstance(limit, Mapping):
        return f"{limit.get('value')} {limit.get('unit') or limit.get('code') or ''}".strip()
    return str(limit)


def limits(item: Item, value: Any, options: Options | None = None, evaluate: Evaluate | None = None) -> Iterator[Broken]:
    """Length, pattern, range, precision and attachment limits."""
    if isinstance(value, str):
        yield from _text_limits(item, value)
    for name, wrong, word in (("minValue", lambda a, b: a < b, "at least"), ("maxValue", lambda a, b: a > b, "at most")):
        for url in (CORE + name, SDC + "sdc-questionnaire-" + name.replace("Value", "Quantity")):
            limit = worked_out(item.json, url, evaluate) if url in item.urls else None
            if isinstance(limit, Mapping) and isinstance(value, Mapping) and ucum.convert(1, _unit(value), _unit(limit)) is None:
                yield Broken(
                    f"{name}IncompatUnits", "value", f"“{item.label}” must be {word} {_shown(limit)}, in a unit like it."
                )
            pair = _limit(value, limit) if limit is not None else None
            if pair and wrong(*pair):
                yield Broken(name, "value", f"“{item.label}” must be {word} {_shown(limit)}.")
    places = extension(item.json, f"{CORE}maxDecimalPlaces") if item.urls else None
    number = value.get("value") if isinstance(value, Mapping) else value
    if places is not None and isinstance(number, Decimal) and -int(number.as_tuple().exponent) > places:
        yield Broken("maxDecimalPlaces", "value", f"“{item.label}” takes at most {places} decimal places.")
    if item.type == "attachment" and isinstance(value, Mapping):
        yield from _attachment_limits(item, value)
    if item.type == "reference" and isinstance(value, Mapping):
        yield from _reference_limits(item, str(value.get("reference", "")))
    if item.type == "url" and isinstance(value, str) and not _URL.fullmatch(value):
        yield Broken("invalidUrlValue", "value", f"“{item.label}” must be a web address, such as https://example.org/page.")
    if item.type == "quantity" and isinstance(value, Mapping):
        units = list(extensions(item.json, f"{CORE}questionnaire-unitOption"))
        if units and not any(same_coding(value, unit) or value.get("unit") == unit.get("display") for unit in units):
            yield Broken("invalidUnit", "code-invalid", f"“{item.label}” does not take this unit.")
        listed = extension(item.json, f"{CORE}questionnaire-unitValueSet")
        known = options(str(listed)) if options and listed else None
        if known is not None and not any(same_coding(value, unit) for unit in known):
            yield Broken("invalidUnitValueSet", "code-invalid", f"“{item.label}” does not take this unit.")


@lru_cache(maxsize=500)
def _compiled(pattern: str) -> Any:
    """None for a pattern that is none: the questionnaire's own fault, which no answer can mend."""
    quiet = re2.Options()
    quiet.log_errors = False
    try:
        return re2.compile(pattern, quiet)
    except re2.error:
        return None


def _text_limits(item: Item, value: str) -> Iterator[Broken]:
    longest, shortest = item.json.get("maxLength"), extension(item.json, f"{CORE}minLength") if item.urls else None
    if isinstance(longest, int) and len(value) > longest:
        yield Broken("maxLength", "too-long", f"“{item.label}” takes at most {longest} characters; this has {len(value)}.")
    if isinstance(shortest, int) and len(value) < shortest:
        yield Broken("minLength", "value", f"“{item.label}” needs at least {shortest} characters.")
    if item.type == "string" and ("\n" in value or "\r" in value):
        yield Broken("invalidNewLine", "value", f"“{item.label}” takes one line.")
    pattern = extension(item.json, f"{CORE}regex") if item.urls else None
    if pattern:
        compiled = _compiled(str(pattern))
        if compiled is None:
            sentence = f"The form that “{item.label}” should have cannot be read from the questionnaire, so it was not checked."
            yield Broken("regex", "not-supported", sentence, "warning")
        elif compiled.fullmatch(value) is None:
            hint = extension(item.json, f"{CORE}entryFormat")
            yield Broken("regex", "value", f"“{item.label}” is not in the right form{f' ({hint})' if hint else ''}.")


def _reference_limits(item: Item, reference: str) -> Iterator[Broken]:
    if not reference or reference.startswith(("#", "urn:")):
        return
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        yield Broken("invalidRefValue", "value", f"“{item.label}” must refer to a resource, such as Patient/123.")
    elif found[1] not in r4().resources:
        yield Broken("invalidRefResourceType", "value", f"“{item.label}” refers to a {found[1]}, which FHIR does not have.")
    else:
        allowed = list(extensions(item.json, f"{CORE}questionnaire-referenceResource"))
        if allowed and found[1] not in allowed:
            sentence = f"“{item.label}” takes {' or '.join(map(str, allowed))}, not {found[1]}."
            yield Broken("invalidRefResourceTypeRestriction", "value", sentence)


def _attachment_limits(item: Item, value: Mapping[str, Any]) -> Iterator[Broken]:
    size = value.get("size")
    if isinstance(data := value.get("data"), str):
        try:
            actual = len(base64.b64decode(data, validate=True))
        except (binascii.Error, ValueError):
            actual = len(data)
        if size is not None and size != actual:
            yield Broken("attachmentSizeInconsistent", "value", f"“{item.label}” says {size} bytes and holds {actual}.")
        size = actual
    largest = extension(item.json, f"{CORE}maxSize")
    if isinstance(size, int) and isinstance(largest, int | Decimal) and size > largest:
        yield Broken("maxAttachmentSize", "too-long", f"“{item.label}” takes at most {largest} bytes.")
    kinds = list(extensions(item.json, f"{CORE}mimeType"))
    if kinds and value.get("contentType") not in kinds:
        yield Broken("invalidAttachmentType", "value", f"“{item.label}” takes files of type {', '.join(map(str, kinds))}.")
