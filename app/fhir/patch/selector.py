"""The selectors of XML Patch: RFC 5261's small part of XPath.

    f:Patient/f:name[f:use/@value='official'][1]/f:given[2]/@value

A selector is a path of child steps from the document, `id('x')` at its head, predicates by position, attribute, child or own text, and at
its end perhaps an attribute, a text or a comment. There is no descent, and so each step looks at each node once.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lxml import etree

from app.fhir.errors import BadRequest
from app.fhir.patch.values import Budget

MAX_LENGTH = 4000
MAX_STEPS = 100
MAX_PREDICATES = 20

_NAME = r"[^\W\d][\w.-]*"
_QNAME = rf"(?:{_NAME}:)?{_NAME}"
_STRING = r"(?:'[^']*'|\"[^\"]*\")"
_PREDICATE = rf"\[\s*(?:(?P<position>[1-9]\d{{0,8}})|(?P<left>\.|(?:{_QNAME}/)?@?{_QNAME})\s*=\s*(?P<right>{_STRING}))\s*\]"
_STEP = re.compile(rf"(?:(?:text|comment)\(\)|id\(\s*{_STRING}\s*\)|@?{_QNAME}|\*)")
_PREDICATES = re.compile(_PREDICATE)

Prefixes = Mapping[str, str]  # "" for names without one


class Attribute(NamedTuple):
    """An attribute of an element."""

    element: etree._Element
    key: str

    def set(self, value: str | None) -> None:
        """None takes it away."""
        if value is None:
            del self.element.attrib[self.key]
        else:
            self.element.set(self.key, value)


class Text(NamedTuple):
    """A text: what follows the start of an element, or one of its children."""

    node: etree._Element
    is_tail: bool

    def set(self, value: str | None) -> None:
        """None takes it away."""
        if self.is_tail:
            self.node.tail = value
        else:
            self.node.text = value


Found = etree._Element | Attribute | Text


def select(document: etree._Element, selector: str, prefixes: Prefixes, budget: Budget) -> list[Found]:
    """What the selector finds under `document`, whose only element is the root. Raises BadRequest with the place where it does not parse."""
    if len(selector) > MAX_LENGTH:
        raise BadRequest(f"A selector has at most {MAX_LENGTH} characters.")
    found: Sequence[Found] = [document]
    at = 1 if selector.startswith("/") else 0
    for _ in range(MAX_STEPS):
        step = _STEP.match(selector, at)
        if step is None or (step[0].startswith("id(") and found != [document]):
            raise _unread(selector, at)
        at = step.end()
        tests: list[re.Match[str]] = []
        while (test := _PREDICATES.match(selector, at)) is not None and len(tests) < MAX_PREDICATES:
            tests.append(test)
            at = test.end()
        groups = [_step(one, step[0], prefixes) for one in found if isinstance(one, etree._Element)]
        searched = list(document.iter()) if step[0].startswith("id(") else found
        budget.look(sum(1 + len(one) for one in searched if isinstance(one, etree._Element)))
        for test in tests:
            if test["left"]:
                budget.look(sum(1 for group in groups for one in group if isinstance(one, etree._Element) for _ in one.iter()))
            groups = [_kept(group, test, prefixes) for group in groups]
        found = [one for group in groups for one in group]
        if at == len(selector):
            return list(found)
        if selector[at] != "/":
            raise _unread(selector, at)
        at += 1
    raise BadRequest(f"A selector has at most {MAX_STEPS} steps.")


def _unread(selector: str, at: int) -> BadRequest:
    what = selector[at : at + 20] or "the end"
    return BadRequest(
        f"The selector does not parse at character {at + 1} ({what}): it is a path of names with predicates, as RFC 5261 has it, without '//'."
    )


def _key(name: str, prefixes: Prefixes, *, is_attribute: bool = False) -> str:
    prefix, _, local = name.rpartition(":")
    if prefix not in prefixes:
        raise BadRequest(f"The prefix '{prefix[:40]}' is not declared in the patch.")
    uri = prefixes[prefix] if prefix or not is_attribute else ""
    return f"{{{uri}}}{local}" if uri else local


def _step(node: etree._Element, step: str, prefixes: Prefixes) -> list[Found]:
    """The children of one node that a step without predicates means."""
    if step == "text()":
        return _texts(node)
    if step == "comment()":
        return list(node.iterchildren(etree.Comment))
    if step.startswith("@"):
        key = _key(step[1:], prefixes, is_attribute=True)
        return [Attribute(node, key)] if key in node.attrib else []
    if step.startswith("id("):
        wanted = step[3:-1].strip()[1:-1]
        return [one for one in node.iter(etree.Element) if one.get("id") == wanted]
    if step == "*":
        return list(node.iterchildren(etree.Element))
    return list(node.iterchildren(_key(step, prefixes)))


def _texts(node: etree._Element) -> list[Found]:
    texts: list[Found] = [Text(node, is_tail=False)] if node.text else []
    texts += [Text(child, is_tail=True) for child in node if child.tail]
    return texts


def _kept(group: list[Found], test: re.Match[str], prefixes: Prefixes) -> list[Found]:
    if test["position"]:
        at = int(test["position"])
        return group[at - 1 : at]
    left, right = test["left"], test["right"][1:-1]
    return [one for one in group if isinstance(one, etree._Element) and right in _said(one, left, prefixes)]


def _said(node: etree._Element, left: str, prefixes: Prefixes) -> list[str]:
    """The texts that the left side of a predicate means."""
    if left == ".":
        return [_words(node)]
    head, _, tail = left.rpartition("/")
    nodes = list(node.iterchildren(_key(head, prefixes))) if head else [node]
    if tail.startswith("@"):
        key = _key(tail[1:], prefixes, is_attribute=True)
        return [one.get(key, "") for one in nodes if key in one.attrib]
    return [_words(child) for one in nodes for child in one.iterchildren(_key(tail, prefixes))]


def _words(node: etree._Element) -> str:
    return "".join(str(text) for text in node.itertext())
