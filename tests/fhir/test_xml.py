"""FHIR XML both ways, and the attacks that XML parsers fall to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.fhir import codec, xml
from app.fhir.errors import Malformed
from app.fhir.validation import validate
from tests.fhir import samples


def document(inside: str, kind: str = "Patient") -> bytes:
    return f'<{kind} xmlns="http://hl7.org/fhir">{inside}</{kind}>'.encode()


def refused(raw: bytes) -> Any:
    with pytest.raises(Malformed) as caught:
        xml.decode(raw)
    return caught.value.issues[0]


@pytest.mark.parametrize("name", samples.ALL)
def test_there_and_back(name: str) -> None:
    resource = samples.ALL[name]()
    back = xml.decode(xml.encode(resource))
    assert codec.encode(back) != b"{}"
    assert back == resource
    assert validate(back) == []


def test_the_form_of_fhir_xml() -> None:
    resource = {
        "resourceType": "Patient",
        "birthDate": "2020-01-01",
        "_birthDate": {"id": "b", "extension": [{"url": "https://example.org/e", "valueBoolean": True}]},
        "active": False,
        "id": "p",
        "text": {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    }
    assert xml.encode(resource).split(b"\n", 1)[1] == (
        b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/><text><status value="empty"/>'
        b'<div xmlns="http://www.w3.org/1999/xhtml">x</div></text><active value="false"/>'
        b'<birthDate id="b" value="2020-01-01"><extension url="https://example.org/e"><valueBoolean value="true"/></extension></birthDate></Patient>'
    )


@pytest.mark.parametrize("number", ["72.50", "1.00", "12345678901234567890.123456789", "-0.0", "7"])
def test_numbers_keep_their_digits(number: str) -> None:
    raw = document(f'<extension url="urn:x"><valueDecimal value="{number}"/></extension>')
    value = xml.decode(raw)
    assert codec.encode(value["extension"][0]) == f'{{"url":"urn:x","valueDecimal":{number}}}'.encode()
    assert f'value="{number}"'.encode() in xml.encode(value)


def test_white_space_in_values_survives() -> None:
    resource = {"resourceType": "Patient", "name": [{"text": "a\n\tb\r  <&\"'> \U0001f600"}]}
    assert xml.decode(xml.encode(resource)) == resource


@settings(max_examples=80, deadline=None)
@given(
    st.text(min_size=1, max_size=8) | st.text(alphabet="\x00\x0b\r\n\t\x7f\x85\u2028\ufffe\uffff<&\"' a", min_size=1, max_size=8)
)
def test_every_valid_text_can_be_sent_as_xml(text: str) -> None:
    resource = {"resourceType": "Patient", "name": [{"text": text}], "implicitRules": text}
    wrong = {issue.expression for issue in validate(resource)}
    resource = {key: value for key, value in resource.items() if f"Patient.{key}" not in wrong}
    if "Patient.name[0].text" in wrong:
        del resource["name"]
    assert xml.decode(xml.encode(resource)) == resource


def test_arrays_of_primitives_stay_in_step_with_their_companions() -> None:
    raw = document(
        '<name><given value="a"/><given><extension url="urn:x"><valueCode value="m"/></extension></given><given id="z" value="c"/></name>'
    )
    assert xml.decode(raw)["name"] == [
        {
            "given": ["a", None, "c"],
            "_given": [None, {"extension": [{"url": "urn:x", "valueCode": "m"}]}, {"id": "z"}],
        }
    ]


def test_an_element_called_resource_type_is_not_the_type() -> None:
    resource = {
        "resourceType": "ExampleScenario",
        "status": "draft",
        "instance": [{"resourceId": "1", "resourceType": "Patient"}],
    }
    assert xml.decode(xml.encode(resource)) == resource


def test_values_that_do_not_parse_are_left_for_validation_to_locate() -> None:
    resource = xml.decode(document('<active value="yes"/><birthDate value="x"/><multipleBirthInteger value="1.5"/>'))
    assert [issue.expression for issue in validate(resource)] == ["Patient.active", "Patient.birthDate", "Patient.multipleBirth"]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (document("<nickname value='x'/>"), "no element 'nickname'"),
        (document("<deceased value='true'/>"), "no element 'deceased'"),
        (document("<active value='true'/><active value='true'/>"), "twice"),
        (document("<active/>"), "neither"),
        (document("<active value='true' note='x'/>"), "not an attribute"),
        (document("<name use='x'/>"), "not an attribute"),
        (document("loose text"), "text between"),
        (document("<name>loose<family value='x'/></name>"), "text between"),
        (document("<contained/>"), "exactly one resource"),
        (document("", "Nobody"), "not an R4 resource type"),
        (b"<Patient/>", "namespace"),
        (b'<Patient xmlns="http://hl7.org/fhir"><id xmlns="urn:x" value="1"/></Patient>', "namespace"),
        (b"<Patient", "malformed"),
        (b"", "malformed"),
        (b"{}", "malformed"),
        (document("<id value='\x01'/>"), "malformed"),
        (b"\xff\xfe<\0P\0/\0>\0", "UTF-8"),
        (b'<?xml version="1.0" encoding="UTF-16"?><Patient/>', "UTF-8"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><Patient/>', "UTF-8"),
        (b'<Patient xmlns="http://hl7.org/fhir"><id value="\xff"/></Patient>', "malformed"),
    ],
)
def test_what_is_refused_and_why(raw: bytes, word: str) -> None:
    assert word in refused(raw).diagnostics


def test_the_line_is_told() -> None:
    assert refused(document("\n\n<nickname value='x'/>")).line == 3
    assert refused(b"<a>\n<b></a>").line == 2


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 12))


@pytest.mark.parametrize(
    "raw",
    [
        b'<!DOCTYPE P [<!ENTITY l0 "lol">' + LAUGHS + b"]>" + document('<id value="&l11;"/>'),
        b'<!DOCTYPE P [<!ENTITY a "' + b"x" * 100_000 + b'">]>' + document('<id value="' + "&a;" * 10_000 + '"/>'),
        b'<!DOCTYPE P [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + document('<id value="1"/><implicitRules value="&x;"/>'),
        b'<!DOCTYPE P [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]>' + document("&x;"),
        b'<!DOCTYPE P SYSTEM "http://127.0.0.1:1/x.dtd">' + document(""),
        b'<!DOCTYPE P [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>' + document(""),
        document('<id value="&undefined;"/>'),
        document("<extension>" * 300 + "</extension>" * 300),
        document("<extension url='u'>" * 150 + "</extension>" * 150),
        b"<a>" * 1_000_000,
        "<!DOCTYPE P [<!ENTITY a 'b'>]><Patient xmlns='http://hl7.org/fhir'><id value='&a;'/></Patient>".encode("utf-16-le"),
        "<!DOCTYPE P [<!ENTITY a 'b'>]><Patient xmlns='http://hl7.org/fhir'><id value='&a;'/></Patient>".encode("utf-32-be"),
        "<?xml version='1.0' encoding='cp037'?><!DOCTYPE P []><Patient xmlns='http://hl7.org/fhir'/>".encode("cp037"),
    ],
    ids=[
        "laughs",
        "quadratic",
        "file",
        "http",
        "external-dtd",
        "parameter",
        "undefined",
        "deep",
        "deep-but-parsable",
        "unclosed",
        "utf-16",
        "utf-32",
        "ebcdic",
    ],
)
def test_attacks_end_in_a_refusal(raw: bytes) -> None:
    assert refused(raw).diagnostics


def test_processing_instructions_and_comments_mean_nothing() -> None:
    raw = b'<?xml-stylesheet href="x"?><!-- c -->' + document('<!-- c --><id value="1"/><?x y?>')
    assert xml.decode(raw) == {"resourceType": "Patient", "id": "1"}


def test_an_external_include_is_only_an_unknown_element() -> None:
    assert refused(document('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>'))


def test_size_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_BYTES", 100)
    assert "longer" in refused(document("<!-- " + "x" * 100 + " -->")).diagnostics


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Nobody"},
        {"resourceType": "Patient", "nickname": "x"},
        {"resourceType": "Patient", "name": ["x"]},
        {"resourceType": "Patient", "id": "a\x01"},
        {"resourceType": "Patient", "contained": [{"id": "x"}]},
    ],
)
def test_what_has_no_xml_is_refused(resource: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        xml.encode(resource)


@pytest.mark.conformance
def test_profiles_of_others_read_as_xml(csor_data: Callable[[str], Path]) -> None:
    files = sorted(csor_data("uk-core-r4-staging").rglob("*.xml"))
    assert files
    kinds = set()
    for file in files:
        try:
            kinds.add(xml.decode(file.read_bytes())["resourceType"])
        except Malformed as error:  # one of them really has loose text between elements
            assert "text between elements" in str(error), file.name
    assert {"StructureDefinition", "ValueSet", "CodeSystem"} <= kinds


def test_the_parser_is_the_hardened_one() -> None:
    assert isinstance(xml.parse(b"<a/>"), etree._Element)
    with pytest.raises(Malformed):
        xml.parse(b"<!DOCTYPE a []><a/>")
