"""XML Patch beyond the given suite: positions, white space, namespaces, selectors, refusals."""

import copy
from decimal import Decimal
from typing import Any

import pytest
from lxml import etree

from app.fhir.errors import BadRequest, FHIRError, Malformed, TooCostly
from app.fhir.patch import PatchError, xml_patch
from app.fhir.patch.xml_patch import patched

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p id="p">one<b>two</b>three</p></div>'},
    "status": "final",
    "category": [{"coding": [{"code": "a"}]}, {"coding": [{"code": "b"}]}],
    "code": {"text": "weight"},
    "valueQuantity": {"value": Decimal("72.50"), "unit": "kg"},
}


def applied(inner: str, attributes: str = 'xmlns="http://hl7.org/fhir"') -> dict[str, Any]:
    before = copy.deepcopy(OBSERVATION)
    result = xml_patch(OBSERVATION, f"<diff {attributes}>{inner}</diff>".encode())
    assert before == OBSERVATION
    return result


def test_elements_go_where_they_are_said_to() -> None:
    new = '<category><coding><code value="n"/></coding></category>'

    def codes(result: dict[str, Any]) -> str:
        return "".join(each["coding"][0]["code"] for each in result["category"])

    assert codes(applied(f'<add sel="f:Observation/f:category[1]" pos="before">{new}</add>')) == "nab"
    assert codes(applied(f'<add sel="f:Observation/f:category[1]" pos="after">{new}</add>')) == "anb"
    assert codes(applied(f'<add sel="f:Observation/f:category[2]" pos="after">{new}</add>')) == "abn"
    assert applied('<add sel="*" pos="prepend"><language value="en"/></add>')["language"] == "en"
    assert applied('<add sel="f:Observation"><note><text value="x"/></note></add>')["note"] == [{"text": "x"}]


@pytest.mark.parametrize(
    "selector",
    [
        "f:Observation/f:code/f:text/@value",
        "/f:Observation/f:code/f:text/@value",
        "Observation/code/text/@value",
        "*/f:code/*/@value",
        "*/f:code[f:text/@value='weight']/f:text/@value",
        '*/f:code/f:text[@value="weight"][1]/@value',
        "x:Observation/x:code/x:text/@value",
    ],
)
def test_selectors(selector: str) -> None:
    quoted = selector.replace('"', "&quot;")
    for attributes in ('xmlns="http://hl7.org/fhir" xmlns:x="http://hl7.org/fhir"', 'xmlns:x="http://hl7.org/fhir"'):
        assert applied(f'<replace sel="{quoted}">height</replace>', attributes)["code"] == {"text": "height"}


def test_digits_and_narrative_survive() -> None:
    result = applied('<replace sel="f:Observation/f:text/h:div/h:p/h:b/text()">2</replace><remove sel="id(\'p\')/text()[2]"/>')
    assert (
        "one<b>2</b></p>" in result["text"]["div"] and result["valueQuantity"]["value"].as_tuple() == Decimal("72.50").as_tuple()
    )


def document(patch: str, target: str = "<a> <b>x</b> <c/>tail</a>") -> str:
    root = patched(etree.fromstring(target), etree.fromstring(f"<diff xmlns:e='urn:e'>{patch}</diff>"))
    return etree.tostring(root).decode()


def test_white_space_goes_only_where_it_is_white() -> None:
    target = '<a xmlns="http://hl7.org/fhir"> <b>x</b> <c/>tail</a>'
    assert "> <c/>tail" in document('<remove sel="a/b" ws="before"/>', target)
    assert "><c/>tail" in document('<remove sel="a/b" ws="both"/>', target)
    with pytest.raises(PatchError, match="white space"):
        document('<remove sel="a/c" ws="after"/>', target)
    assert ">  <" not in document('<remove sel="a/c" ws="before"/>', target)


def test_texts_between_children_stay() -> None:
    target = '<a xmlns="http://hl7.org/fhir">1<b/>2<c/>3</a>'
    assert document('<remove sel="a/b"/>', target).endswith(">12<c/>3</a>")
    assert document('<add sel="a/b" pos="after">X<d xmlns="http://hl7.org/fhir"/></add>', target).endswith(
        ">1<b/>X<d/>2<c/>3</a>"
    )
    assert document('<add sel="a/b" pos="before">X</add>', target).endswith(">1X<b/>2<c/>3</a>")
    assert document('<add sel="a" pos="prepend">X</add>', target).endswith(">X1<b/>2<c/>3</a>")
    assert document('<replace sel="a/c"><d xmlns="http://hl7.org/fhir"/></replace>', target).endswith(">1<b/>2<d/>3</a>")
    assert document('<replace sel="a/text()[2]">X</replace>', target).endswith(">1<b/>X<c/>3</a>")


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        ("", BadRequest),
        ("<jump sel='x'/>", BadRequest),
        ("<remove/>", BadRequest),
        ("<remove sel=''/>", BadRequest),
        ("<remove sel='f:Observation'/>", PatchError),
        ("<remove sel='f:Observation/f:category'/>", PatchError),
        ("<remove sel='f:Observation/f:category[3]'/>", PatchError),
        ("<remove sel='q:Observation'/>", BadRequest),
        ("<remove sel='//f:code'/>", BadRequest),
        ("<remove sel='f:Observation/..'/>", BadRequest),
        ("<remove sel='f:Observation[count(*)=1]'/>", BadRequest),
        ("<remove sel='f:Observation/f:category[0]'/>", BadRequest),
        ("<remove sel='document(&quot;x&quot;)'/>", BadRequest),
        ("<replace sel='f:Observation/f:code'/>", BadRequest),
        ("<replace sel='f:Observation/f:code'><a/><b/></replace>", BadRequest),
        ("<replace sel='f:Observation/f:status/@value'><a/></replace>", BadRequest),
        ("<add sel='f:Observation' pos='before'><a/></add>", PatchError),
        ("<add sel='f:Observation' pos='inside'><a/></add>", BadRequest),
        ("<add sel='f:Observation' type='attribute'>x</add>", BadRequest),
        ("<add sel='f:Observation/f:status' type='@value'>x</add>", PatchError),
        ("<add sel='f:Observation/f:status' type='@1'>x</add>", BadRequest),
        ("<add sel='f:Observation'><frob/></add>", Malformed),
        ("<add sel='f:Observation'>text</add>", Malformed),
        ("<remove sel='f:Observation/f:status' ws='around'/>", BadRequest),
    ],
)
def test_what_cannot_be_done_is_told(inner: str, kind: type[FHIRError]) -> None:
    with pytest.raises(FHIRError) as raised:
        applied(inner)
    assert isinstance(raised.value, kind), raised.value
    assert not inner or kind is Malformed or raised.value.issues[0].line == 1


def test_work_is_bounded() -> None:
    with pytest.raises(TooCostly):
        applied("<replace sel='f:Observation/f:status/@value'>final</replace>" * 1001)
    wide = copy.deepcopy(OBSERVATION)
    wide["category"] = [{"text": "x" * 10}] * 5000
    selector = "f:Observation/f:category" + "[f:text/@value='xxxxxxxxxx']" * 10
    with pytest.raises(TooCostly):
        xml_patch(wide, ('<diff xmlns="http://hl7.org/fhir">' + f'<remove sel="{selector}[1]"/>' * 900 + "</diff>").encode())
    with pytest.raises(BadRequest):
        applied(f"<remove sel='{'f:a/' * 200}f:b'/>")


def test_a_hostile_patch_document_is_not_read() -> None:
    for raw in (b"", b"<diff", b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><diff>&e;</diff>', b"\xff\xfe<"):
        with pytest.raises(Malformed):
            xml_patch(OBSERVATION, raw)
