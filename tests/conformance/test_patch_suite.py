"""The given patch suite, entire: every case of JSON Patch, FHIRPath Patch and XML Patch."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from app.fhir import codec, xml
from app.fhir.errors import FHIRError, TooCostly
from app.fhir.patch import fhirpath_patch, json_patch
from app.fhir.patch.xml_patch import patched
from app.fhir.validation import validate

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def suite(csor_data: Callable[[str], Path]) -> Path:
    return next(csor_data("fhir-patch-suite").rglob("json-patch-tests.json")).parent


def json_failures(suite: Path) -> tuple[int, dict[str, Any]]:
    """How many cases there are, and what went wrong by name."""
    failures: dict[str, Any] = {}
    cases = json.loads((suite / "json-patch-tests.json").read_bytes())
    for case in cases:
        before = deepcopy(case["doc"])
        try:
            found = json_patch(case["doc"], case["patch"])
        except TooCostly as error:
            failures[case["comment"]] = error
        except FHIRError as error:
            if "error" not in case:
                failures[case["comment"]] = error
        else:
            if "error" in case or found != case["expected"]:
                failures[case["comment"]] = found
        if case["doc"] != before:
            failures[case["comment"]] = "the document itself was changed"
    return len(cases), failures


def _inside(node: etree._Element, name: str) -> etree._Element | None:
    holder = node.find(name)
    return None if holder is None else next(holder.iterchildren(etree.Element), None)


def _resource(node: etree._Element | None) -> dict[str, Any]:
    assert node is not None
    return xml.decode(etree.tostring(node, with_tail=False))


def _without_narrative(resource: dict[str, Any]) -> tuple[bytes, bytes]:
    resource = deepcopy(resource)
    div = resource.get("text", {}).pop("div", "")
    return codec.encode(resource), xml.canonical(div) if div else b""


def _ordered(resource: dict[str, Any]) -> dict[str, Any]:
    """In the order of the standard, as XML has it."""
    return xml.decode(xml.encode(resource))


def fhirpath_failures(suite: Path) -> tuple[int, dict[str, Any]]:
    failures: dict[str, Any] = {}
    cases = etree.parse(suite / "fhir-patch-tests.xml").getroot().findall("case")
    for number, case in enumerate(cases):
        name = f"{number} {case.get('name')}"
        resource, parameters = _resource(_inside(case, "input")), _resource(_inside(case, "diff"))
        before = codec.encode(resource)
        refused = case.find("error") is not None
        try:
            found = fhirpath_patch(resource, parameters)
        except FHIRError as error:
            if not refused or not error.issues[0].expression:
                failures[name] = error
        else:
            expected = None if refused else _resource(_inside(case, "output"))
            if expected is None or _without_narrative(_ordered(found)) != _without_narrative(expected):
                failures[name] = found
            elif validate(found) != validate(expected):
                failures[name] = validate(found)
        if codec.encode(resource) != before:
            failures[name] = "the resource itself was changed"
    return len(cases), failures


def _shape(node: etree._Element) -> Any:
    """What an XML document says, without the white space that lays it out."""
    texts = [(node.text or "").strip(), *((child.tail or "").strip() for child in node)]
    own = {prefix: uri for prefix, uri in node.nsmap.items() if prefix}
    if isinstance(node, etree._Comment):
        return ("comment", (node.text or "").strip())
    return (node.tag, dict(node.attrib), own, texts, [_shape(child) for child in node])


def xml_failures(suite: Path) -> tuple[int, dict[str, Any]]:
    failures: dict[str, Any] = {}
    cases = etree.parse(suite / "xml-patch-tests.xml").getroot().findall("case")
    for number, case in enumerate(cases):
        name = f"{number} {case.get('name')}"
        target, patch = _inside(case, "target"), case.find(f"{{{xml.FHIR}}}patch")
        refused = case.find("error") is not None
        assert patch is not None
        try:
            # a document that is not there is told before a patch is applied to it
            found = patched(xml.parse(b"" if target is None else etree.tostring(target, with_tail=False)), deepcopy(patch))
        except FHIRError as error:
            if not refused:
                failures[name] = error
        else:
            expected = _inside(case, "patched")
            if expected is None or _shape(found) != _shape(expected):
                failures[name] = etree.tostring(found)
    return len(cases), failures


def test_json_patch(suite: Path) -> None:
    assert json_failures(suite) == (16, {})


def test_fhirpath_patch(suite: Path) -> None:
    assert fhirpath_failures(suite) == (33, {})


def test_xml_patch(suite: Path) -> None:
    assert xml_failures(suite) == (29, {})
