"""XML Patch (RFC 5261): add, replace and remove nodes of a document that a selector points at.

The selectors are RFC 5261's own part of XPath, read here and walked once: no selector can make the work grow beyond the document.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from lxml import etree

from app.fhir import xml
from app.fhir.errors import BadRequest, FHIRError, TooCostly
from app.fhir.patch.errors import MAX_OPERATIONS, PatchError
from app.fhir.patch.selector import Attribute, Found, Text, select
from app.fhir.patch.values import Budget

PREFIXES = {"f": xml.FHIR, "h": xml.XHTML}
_NAMESPACE = "namespace::"


def xml_patch(resource: Mapping[str, Any], diff: bytes) -> dict[str, Any]:
    """What `resource` is after an XML Patch document has been applied to its XML; `resource` itself stays as it is.

    Raises Malformed or BadRequest for what is no patch (with the line), PatchError where a selector finds nothing or several nodes, Malformed
    where what is left is no FHIR.
    """
    return xml.read(patched(xml.tree(resource), xml.parse(diff)))


def patched(document: etree._Element, patch: etree._Element) -> etree._Element:
    """The root of `document`, changed in place by the operations under `patch`."""
    operations = list(patch.iterchildren(etree.Element))
    if not operations:
        raise BadRequest("The XML Patch has no operations.")
    if len(operations) > MAX_OPERATIONS:
        raise TooCostly(f"The patch has {len(operations)} operations; at most {MAX_OPERATIONS} are taken at once.")
    holder = etree.Element("document")  # so that the root has a parent, as in XPath
    holder.append(document)
    budget = Budget()
    for operation in operations:
        _apply(operation, holder, budget)
    [root] = holder.iterchildren(etree.Element)
    return root


def _apply(operation: etree._Element, holder: etree._Element, budget: Budget) -> None:
    line = cast("int | None", operation.sourceline)
    kind = etree.QName(operation).localname
    selector = operation.get("sel")
    if kind not in _APPLY or selector is None:
        raise BadRequest(f"'{kind[:40]}' is not an operation: add, replace or remove, with the attribute 'sel'.", line=line)
    declared = {prefix: uri for prefix, uri in operation.nsmap.items() if prefix is not None}
    try:
        found = select(holder, selector, {**PREFIXES, **declared, "": operation.nsmap.get(None) or xml.FHIR}, budget)
        if len(found) != 1:
            told = "nothing" if not found else f"{len(found)} nodes"
            raise PatchError(f"The selector {selector[:200]} finds {told}; an operation needs exactly one.")
        _APPLY[kind](operation, found[0])
    except FHIRError as error:
        moved = type(error).__new__(type(error))
        FHIRError.__init__(moved, error.issues[0].diagnostics, line=line)
        raise moved from None
    except (ValueError, etree.LxmlError) as error:  # characters and names that XML does not have
        raise BadRequest(f"The operation cannot be carried out: {error}.", line=line) from None


# ---- texts: lxml keeps them at the node before them -----------------------------------------------------------------------


def _parent(node: etree._Element) -> etree._Element:
    parent = node.getparent()
    assert parent is not None
    return parent


def _append_text(node: etree._Element, text: str) -> None:
    """After the last child of `node`."""
    if len(node):
        node[-1].tail = (node[-1].tail or "") + text
    else:
        node.text = (node.text or "") + text


def _text_before(node: etree._Element, text: str) -> None:
    """Just before `node`, in its parent."""
    previous = node.getprevious()
    if previous is not None:
        previous.tail = (previous.tail or "") + text
    else:
        parent = _parent(node)
        parent.text = (parent.text or "") + text


def _detach(node: etree._Element) -> None:
    """Takes `node` out; the text after it stays."""
    if node.tail:
        _text_before(node, node.tail)
        node.tail = None
    _parent(node).remove(node)


def _content(operation: etree._Element) -> tuple[str, list[etree._Element]]:
    return operation.text or "", [deepcopy(child) for child in operation]


def _is_root(node: etree._Element) -> bool:
    return _parent(node).getparent() is None


# ---- the operations -------------------------------------------------------------------------------------------------------


def _add(operation: etree._Element, found: Found) -> None:
    if not isinstance(found, etree._Element):
        raise PatchError("Something can only be added to or beside an element or a comment.")
    kind, position = operation.get("type"), operation.get("pos")
    if kind is not None:
        _add_attribute(operation, found, kind)
        return
    text, children = _content(operation)
    if position in ("before", "after"):
        if _is_root(found):
            raise PatchError("Nothing can be put beside the root.")
        _add_beside(found, text, children, is_before=position == "before")
    elif position == "prepend":
        rest, found.text = found.text or "", text
        for index, child in enumerate(children):
            found.insert(index, child)
        if children:
            children[-1].tail = (children[-1].tail or "") + rest
        else:
            found.text += rest
    elif position is None:
        if isinstance(found, etree._Comment):
            raise PatchError("A comment has no content to add to; pos says where beside it.")
        _append_text(found, text)
        for child in children:
            found.append(child)
    else:
        raise BadRequest(f"pos='{position[:20]}' is not a position: before, after or prepend.")


def _add_beside(found: etree._Element, text: str, children: list[etree._Element], *, is_before: bool) -> None:
    parent = _parent(found)
    if is_before:
        _text_before(found, text)
        at = parent.index(found)
    else:
        rest, found.tail = found.tail or "", text
        if children:
            children[-1].tail = (children[-1].tail or "") + rest
        else:
            found.tail += rest
        at = parent.index(found) + 1
    for offset, child in enumerate(children):
        parent.insert(at + offset, child)


def _add_attribute(operation: etree._Element, found: etree._Element, kind: str) -> None:
    if len(operation):
        raise BadRequest("An attribute or a namespace is text alone.")
    text = operation.text or ""
    if kind.startswith("@"):
        prefix, _, name = kind[1:].rpartition(":")
        uri = (operation.nsmap.get(prefix) or PREFIXES.get(prefix)) if prefix else None
        key = f"{{{uri}}}{name}" if uri else name
        if key in found.attrib:
            raise PatchError(f"There is an attribute '{name[:64]}' already: replace it instead.")
        found.set(key, text)
    elif kind.startswith(_NAMESPACE):
        _declare(found, kind.removeprefix(_NAMESPACE), text)
    else:
        raise BadRequest(f"type='{kind[:40]}' is neither an attribute (@name) nor a namespace (namespace::prefix).")


def _declare(found: etree._Element, prefix: str, uri: str) -> None:
    """lxml declares namespaces only where an element is made, so it is made again."""
    if prefix in found.nsmap:
        raise PatchError(f"The prefix '{prefix[:40]}' is declared already.")
    nsmap: dict[str | None, str] = {**found.nsmap, prefix: uri}
    again = etree.Element(found.tag, nsmap=nsmap)  # type: ignore[arg-type]
    for key, value in found.attrib.items():
        again.set(key, value)
    again.text, again.tail = found.text, found.tail
    parent = _parent(found)
    at = parent.index(found)
    again.extend(list(found))
    parent.remove(found)
    parent.insert(at, again)


def _replace(operation: etree._Element, found: Found) -> None:
    text, children = _content(operation)
    if isinstance(found, Attribute | Text):
        if children:
            raise BadRequest("An attribute or a text is replaced by text alone.")
        found.set(text)
        return
    wanted = etree._Comment if isinstance(found, etree._Comment) else etree._Element
    fitting = [child for child in children if isinstance(child, etree._Comment) == (wanted is etree._Comment)]
    if len(fitting) != 1 or len(children) != 1 or text.strip():
        raise BadRequest("An element is replaced by exactly one element, a comment by exactly one comment.")
    new = fitting[0]
    new.tail, found.tail = found.tail, None
    parent = _parent(found)
    parent.replace(found, new)


def _remove(operation: etree._Element, found: Found) -> None:
    if isinstance(found, Attribute | Text):
        found.set(None)
        return
    if _is_root(found):
        raise PatchError("The root cannot be removed.")
    white = operation.get("ws")
    if white not in (None, "before", "after", "both"):
        raise BadRequest(f"ws='{white[:20]}' is not before, after or both.")
    if white in ("after", "both"):
        found.tail = _only_white(found.tail)
    if white in ("before", "both"):
        previous = found.getprevious()
        if previous is not None:
            previous.tail = _only_white(previous.tail)
        else:
            parent = _parent(found)
            parent.text = _only_white(parent.text)
    _detach(found)


def _only_white(text: str | None) -> str | None:
    """What is left of white space: nothing. Raises PatchError for a text that says something."""
    if text and not text.isspace():
        raise PatchError("There is text where 'ws' says that there is white space.")
    return None


_APPLY = {"add": _add, "replace": _replace, "remove": _remove}
