"""FHIR XML, both ways, by the table of R4; and the one hardened XML parser.

What must stay true: no DOCTYPE, entity, external file or network is ever touched; only UTF-8; depth is capped before anything
recurses; JSON to XML to JSON gives an equal resource.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Any, cast

from lxml import etree

from app.fhir.definitions import Definitions, Element, r4
from app.fhir.errors import Malformed

MAX_DEPTH = 100
MAX_BYTES = 64 << 20
MAX_DIGITS = 400
FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"

_ENCODING = re.compile(rb"""\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_PARSED = frozenset(["boolean", "decimal", "integer", "unsignedInt", "positiveInt"])
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
# The encoding is fixed, so that a document cannot hide a DOCTYPE from the search below in UTF-16 or EBCDIC.
_parser = etree.XMLParser(
    encoding="UTF-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True
)


def parse(raw: bytes) -> etree._Element:
    """The root element of a document of any vocabulary. Raises Malformed with line and column."""
    if len(raw) > MAX_BYTES:
        raise Malformed(f"XML is longer than {MAX_BYTES} bytes.")
    if b"<!" in raw and (b"<!DOCTYPE" in raw or b"<!ENTITY" in raw):
        raise Malformed("XML must have no DOCTYPE and no entities; write the characters themselves.")
    if raw[:1] != b"<" or raw[1:2] in (b"?", b"\0"):
        _require_utf8(raw)
    try:
        return etree.fromstring(raw, _parser)
    except etree.XMLSyntaxError as error:
        reason = (error.msg or "empty document").partition(", line ")[0]
        raise Malformed(f"XML is malformed: {reason}.", line=error.lineno, column=error.offset) from None
    except ValueError as error:
        raise Malformed(f"XML is malformed: {error}.") from None


def _require_utf8(raw: bytes) -> None:
    encoding = _ENCODING.match(raw[:200])
    if (
        raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        or b"\0" in raw[:4]
        or (encoding and encoding[1].lower() not in (b"utf-8", b"us-ascii"))
    ):
        raise Malformed("XML must be UTF-8.")


def canonical(text: str) -> bytes:
    """Canonical XML (C14N): equal bytes for documents that differ only in how they are written."""
    return etree.tostring(parse(text.encode()), method="c14n")


# ---- reading --------------------------------------------------------------------------------------------------------------


def decode(raw: bytes) -> dict[str, Any]:
    """The resource in FHIR XML, as `codec.decode` would give it. Raises Malformed; what it lets through still needs validation."""
    return read(parse(raw))


def read(root: etree._Element) -> dict[str, Any]:
    """`decode` of a document that has been parsed."""
    return _resource(root, r4(), 0)


def _resource(node: etree._Element, definitions: Definitions, depth: int) -> dict[str, Any]:
    name = _local(node)
    if name not in definitions.resources:
        raise _problem(node, f"'{name[:64]}' is not an R4 resource type")
    return {"resourceType": name, **_object(node, name, definitions, depth)}


def _object(node: etree._Element, type_name: str, definitions: Definitions, depth: int) -> dict[str, Any]:
    """The JSON object of an element of a complex type. What is unknown is refused here: without a type it has no JSON."""
    if depth > MAX_DEPTH:
        raise _problem(node, f"XML is nested more than {MAX_DEPTH} levels deep")
    _no_text(node)
    elements = definitions.json_elements(type_name)
    value: dict[str, Any] = {}
    repeated: dict[str, list[tuple[Any, dict[str, Any] | None]]] = {}
    for key, text in node.attrib.items():
        element = elements.get(str(key))
        if element is not None and element.is_xml_attribute:
            value[str(key)] = str(text)
        elif not (key == "value" and type_name == "Element"):
            raise _problem(node, f"'{str(key)[:64]}' is not an attribute here")
    for child in node.iterchildren(etree.Element):
        name = "div" if child.tag == f"{{{XHTML}}}div" else _local(child)
        element = elements.get(name)
        if element is None or element.is_xml_attribute:
            raise _problem(child, f"{type_name} has no element '{name[:64]}'")
        if not element.is_list and (name in value or "_" + name in value):
            raise _problem(child, f"'{name}' appears twice, but does not repeat")
        kind = element.types[0]
        if kind == "xhtml":
            value[name] = etree.tostring(child, encoding="unicode", with_tail=False)
        elif kind in definitions.primitives:
            item, rest = _primitive(child, kind, definitions, depth)
            if element.is_list:
                repeated.setdefault(name, []).append((item, rest))
            elif item is not None:
                value[name] = item
            if rest is not None and not element.is_list:
                value["_" + name] = rest
        else:
            complex_item = (
                _inner(child, definitions, depth) if kind == "Resource" else _object(child, kind, definitions, depth + 1)
            )
            if element.is_list:
                value.setdefault(name, []).append(complex_item)
            else:
                value[name] = complex_item
    for name, pairs in repeated.items():
        if any(item is not None for item, _ in pairs):
            value[name] = [item for item, _ in pairs]
        if any(rest is not None for _, rest in pairs):
            value["_" + name] = [rest for _, rest in pairs]
    return value


def _inner(node: etree._Element, definitions: Definitions, depth: int) -> dict[str, Any]:
    inside = list(node.iterchildren(etree.Element))
    if len(inside) != 1:
        raise _problem(node, "There must be exactly one resource here")
    return _resource(inside[0], definitions, depth + 1)


def _primitive(node: etree._Element, kind: str, definitions: Definitions, depth: int) -> tuple[Any, dict[str, Any] | None]:
    """The value and, where there are id or extensions, the companion object. A value that does not parse stays a string."""
    text = node.get("value")
    has_more = len(node) or len(node.attrib) > (text is not None)
    rest = _object(node, "Element", definitions, depth + 1) if has_more else None
    _no_text(node)
    if text is None and not rest:
        raise _problem(node, f"'{_local(node)}' has neither a value nor an extension")
    if text is None or kind not in _PARSED:
        return text, rest or None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text), rest or None
    if len(text) > MAX_DIGITS or not _NUMBER(text):
        return text, rest or None
    return (int(text) if text.lstrip("-").isdigit() else Decimal(text)), rest or None


def _no_text(node: etree._Element) -> None:
    if (node.text and not node.text.isspace()) or any(child.tail and not child.tail.isspace() for child in node):
        raise _problem(node, "There is text between elements; FHIR has it in the attribute 'value'")


def _local(node: etree._Element) -> str:
    namespace, _, name = str(node.tag).rpartition("}")
    if namespace != "{" + FHIR:
        raise _problem(node, f"'{name[:64]}' is not in the namespace {FHIR}")
    return name


def _problem(node: etree._Element, sentence: str) -> Malformed:
    return Malformed(sentence + ".", line=cast("int | None", node.sourceline))


# ---- writing --------------------------------------------------------------------------------------------------------------


def encode(resource: Mapping[str, Any]) -> bytes:
    """FHIR XML of a valid resource, in the order of the standard. Raises Malformed where it has no XML."""
    return etree.tostring(tree(resource), encoding="UTF-8", xml_declaration=True)


def tree(resource: Mapping[str, Any]) -> etree._Element:
    """`encode` before it is written."""
    definitions = r4()
    root = etree.Element(f"{{{FHIR}}}{_type_of(resource, definitions)}", nsmap={None: FHIR})  # type: ignore[dict-item]
    try:
        _fill(root, resource, str(resource["resourceType"]), definitions)
    except (ValueError, TypeError, AttributeError) as error:
        raise Malformed(f"The resource cannot be written as XML: {error}.") from error
    return root


def _type_of(resource: Any, definitions: Definitions) -> str:
    kind = resource.get("resourceType") if isinstance(resource, Mapping) else None
    if not isinstance(kind, str) or kind not in definitions.resources:
        raise Malformed("A resource must say in 'resourceType' which R4 resource it is.")
    return kind


def _fill(node: etree._Element, value: Mapping[str, Any], type_name: str, definitions: Definitions) -> None:
    left = set(value)
    if definitions.types[type_name].kind == "resource":
        left.discard("resourceType")
    for key, element in definitions.json_elements(type_name).items():
        rest_key = "_" + key
        if key not in left and rest_key not in left:
            continue
        left -= {key, rest_key}
        if element.is_xml_attribute:
            if rest_key in value:
                raise Malformed(f"'{rest_key}' has no place in XML, where '{key}' is an attribute.")
            node.set(key, value[key])
        else:
            for item, rest in _pairs(value.get(key), value.get(rest_key), element):
                _write(node, key, element.types[0], item, rest, definitions)
    if left:
        raise Malformed(f"{type_name} has no element '{min(left)[:64]}'.")


def _pairs(items: Any, rests: Any, element: Element) -> Iterator[tuple[Any, Any]]:
    if element.is_list:
        yield from zip_longest(items or (), rests or ())
    else:
        yield items, rests


def _write(node: etree._Element, key: str, kind: str, item: Any, rest: Any, definitions: Definitions) -> None:
    if kind == "xhtml":
        div = parse(item.encode())
        div.tail = None
        node.append(div)
        return
    child = etree.SubElement(node, f"{{{FHIR}}}{key}")
    if kind in definitions.primitives:
        if rest:
            _fill(child, rest, "Element", definitions)
        if item is not None:
            child.set("value", str(item).lower() if isinstance(item, bool) else str(item))
    elif kind == "Resource":
        inside = etree.SubElement(child, f"{{{FHIR}}}{_type_of(item, definitions)}")
        _fill(inside, item, str(item["resourceType"]), definitions)
    else:
        _fill(child, item, kind, definitions)
