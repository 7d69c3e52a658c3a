"""The one XML parser."""

from lxml import etree

from app.fhir.errors import Malformed

MAX_DEPTH = 100

_parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True)


def parse(raw: bytes) -> etree._Element:
    """The root element of a document of any vocabulary, parsed without entities, DTD or network. Raises Malformed."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise Malformed("XML must have no DOCTYPE.")
    try:
        return etree.fromstring(raw, _parser)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"{error.msg}.", line=error.lineno, column=error.offset) from None
