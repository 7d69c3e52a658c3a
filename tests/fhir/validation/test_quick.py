"""The quick tests are only quick: with them and without, whatever is sent gets the same issues."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.fhir.validation import Structure, Validator, narrative
from app.fhir.validation.compiler import Compiler
from tests.fhir import samples
from tests.fhir.test_validation import BENDS, places

KINDS = ("structure", "invariants", "everything")
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def _made(kind: str) -> Structure | Validator:
    return Validator() if kind == "everything" else Structure(invariants=kind == "invariants")


@cache
def quick(kind: str) -> Structure | Validator:
    return _made(kind)


@cache
def slow(kind: str) -> tuple[Structure | Validator, list[Any]]:
    """One that has quick tests of nothing but primitives, and the fields from which they were taken."""
    taken: list[Any] = []
    validator = _made(kind)
    judge: Any = validator._compiler
    fields = judge._fields

    def without(owner: str, element: Any) -> list[Any]:
        found = fields(owner, element)
        taken.extend(each for each in found if each.quick or each.beside)
        return [each._replace(quick=None, beside=None) for each in found]

    judge._fields = without
    return validator, taken


def same(kind: str, resource: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patch:
        found = quick(kind).validate(resource)
        patch.setattr(narrative, "passes", lambda _div: False)
        expected = slow(kind)[0].validate(resource)
    assert found == expected
    return bool(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", samples.ALL)
def test_every_bend_of_every_element_is_judged_alike(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(list(places(samples.ALL[name]())))
    for index in range(count):
        for bend in BENDS:
            resource = samples.ALL[name]()
            holder, key = list(places(resource))[index]
            bend(holder, key)
            same(kind, resource, monkeypatch)
    assert slow(kind)[1]


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["Patient/1", "#gp", "#", "2020-02-30", "a:b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "extension", "url", "reference", "coding", "valueCode", "valueUri", "_url", "period"]), inner
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_in_any_place_is_judged_alike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(sorted(samples.ALL)), st.data(), st.lists(_json, min_size=1, max_size=2))
    def judged(name: str, data: st.DataObject, values: list[Any]) -> None:
        resource = samples.ALL[name]()
        for value in values:
            holder, key = data.draw(st.sampled_from(list(places(resource))))
            beside = data.draw(st.sampled_from([key, "_" + key, key + "Code", "extension", "id"]))
            holder[beside] = value
        same(kind, resource, monkeypatch)

    judged()


@pytest.mark.parametrize(
    ("part", "passes"),
    [
        ({"name": [{"given": ["a", None], "_given": [{"id": "x"}, {"extension": [{"url": "urn:a", "valueCode": "b"}]}]}]}, True),
        ({"name": [{"given": ["a", None], "_given": [{"id": "x"}, None]}]}, False),
        ({"name": [{"given": ["a", None], "_given": [None, {"id": "x"}]}]}, False),
        ({"name": [{"given": ["a"], "_given": [None, {"extension": [{"url": "urn:a", "valueCode": "b"}]}]}]}, False),
        ({"name": [{"_given": [{"extension": [{"url": "urn:a", "valueCode": "b"}]}]}]}, True),
        ({"name": [{"_given": [None]}]}, False),
        ({"_gender": {"id": "x"}, "gender": "male"}, True),
        ({"_gender": {"id": "x"}}, False),
        ({"_gender": {"id": 5}, "gender": "male"}, False),
        ({"extension": [{"url": "urn:a", "extension": [{"url": "b", "valueCode": "b"}]}]}, True),
        ({"extension": [{"url": "a", "extension": [{"url": "b", "valueCode": "b"}]}]}, False),
        ({"extension": [{"url": "urn:a", "_url": {"extension": [{"url": "urn:b", "valueCode": "b"}]}}]}, False),
        ({"extension": [{"url": "urn:a", "valueCode": "b", "valueUri": "c"}]}, False),
        ({"extension": [{"url": "urn:a", "valueCode": "b", "extension": []}]}, False),
        ({"link": [{"other": {"reference": "Patient/a_b"}, "type": "seealso"}]}, False),
        ({"link": [{"other": {"reference": "Observation/a"}, "type": "seealso"}]}, False),
        ({"link": [{"other": {"reference": "Patient/1/_history/2"}, "type": "seealso"}]}, True),
        ({"birthDate": "2021-02-29"}, False),
        ({"birthDate": "2024-02-29"}, True),
        ({"birthDate": "2024-04-31"}, False),
        ({"birthDate": "2024-04-30"}, True),
        ({"birthDate": "2024-12-31"}, True),
        ({"birthDate": "1900-02-29"}, False),
    ],
)
def test_what_stands_beside(part: dict[str, Any], passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert same("structure", {"resourceType": "Patient", **part}, monkeypatch) is not passes


def test_no_object_is_tested_quickly_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is wrong deep inside would be tested once for each level above it."""
    made, seen = Compiler.compile_quick, []

    def counting(self: Compiler, type_name: str) -> Callable[[Any], bool]:
        test = made(self, type_name)

        def counted(value: Any) -> bool:
            seen.append(id(value))
            return test(value)

        return counted

    monkeypatch.setattr(Compiler, "compile_quick", counting)
    deep: dict[str, Any] = {"url": "urn:a", "valueCode": " wrong "}
    for _ in range(40):
        deep = {"url": "urn:a", "extension": [deep]}
    bundle: dict[str, Any] = {"resourceType": "Patient", "extension": [deep]}
    for _ in range(8):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    for validator in (Structure(), Structure(invariants=True)):
        seen.clear()
        assert validator.validate(bundle)
        assert len(seen) > 40
        assert len(seen) == len(set(seen))


# ---- narratives -----------------------------------------------------------------------------------------------------------------

_HARMLESS = ('class="a"', 'style="b"', 'href="#x"', 'href="https://x"', 'id="a"', 'title="b"', 'xml:lang="en"')
_ODD = (
    'href=" JavaScript:x"',
    'href="java&#10;script:x"',
    'src="data:x"',
    'onclick="x"',
    XHTML,
    "id='a'",
    'title=">"',
    'alt="\t"',
)
_attributes = st.lists(st.sampled_from([*_HARMLESS, *_ODD]), max_size=3).map(lambda found: "".join(" " + each for each in found))
_tags = st.sampled_from(["p", "b", "br", "td", "tr", "i", "h1", "script", "B", "a", "ul", "u", "var", "x:p", "img"])
_text = st.sampled_from(
    [
        "",
        " ",
        "a",
        "\n",
        "é",
        "\x01",
        "\ud800",
        "\ufffe",
        "]]>",
        ">",
        "&amp;",
        "&nbsp;",
        "&#160;",
        "&#1;",
        "&#55296;",
        "&#99999;",
        "<!-- -->",
        "<![CDATA[a]]>",
        "<?a?>",
        "\U0001f600",
    ]
)


def _element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    whole = st.builds(lambda tag, more, text: f"<{tag}{more}>{text}</{tag}>", _tags, _attributes, inner)
    torn = st.builds(lambda tag, more, text, end: f"<{tag}{more}>{text}</{end}>", _tags, _attributes, inner, _tags)
    empty = st.builds(lambda tag, more, end: f"<{tag}{more}{end}", _tags, _attributes, st.sampled_from(["/>", " />", ">"]))
    return st.lists(_text | whole | whole | torn | empty, max_size=3).map("".join)


_divs = st.builds(
    lambda more, text, end: f"<div {XHTML}{more}>{text}</div>{end}",
    _attributes,
    st.recursive(_text, _element, max_leaves=8),
    st.sampled_from(["", "\n", " ", "\xa0", "x", "<p/>"]),
)


@settings(max_examples=400, deadline=None)
@given(_divs)
@example(f"<div {XHTML}><br/>text</div>")
def test_a_narrative_that_passes_has_no_complaint(div: str) -> None:
    assert not narrative.passes(div) or narrative.complaint(div) is None


def _one_character_less_or_other(div: str) -> list[str]:
    return [
        div[:at] + other + div[at + 1 :] for at in range(len(div)) for other in ("", "<", ">", "&", '"', "\x00", "x", " ", "/")
    ]


def test_a_narrative_with_a_character_changed_is_still_judged_rightly() -> None:
    div = f'<div {XHTML} class="x"><table border="0"><tr><td class="a" style="b">x &amp; y<br/></td></tr></table><a href="#a" title="t">&#160;</a></div>'
    assert narrative.passes(div)
    passed = [each for each in _one_character_less_or_other(div) if narrative.passes(each)]
    assert len(passed) > 100
    assert [each for each in passed if narrative.complaint(each) is not None] == []


@pytest.mark.parametrize(
    "inside",
    ["", "<br/>", "<p></p>", '<a href="java&#10;script:x()">x</a>', '<a href="data:application/xml,x">x</a>', "<p><b>x</p></b>"],
)
def test_narratives_that_pass_neither(inside: str) -> None:
    div = f"<div {XHTML}>{inside}</div>"
    assert not narrative.passes(div)
    assert narrative.complaint(div) is not None


@pytest.mark.parametrize(
    "inside", ["<br/>text", "<!-- a -->text", '<img src="#a" alt="b"/>', '<img src="data:image/png;base64,AA==" alt="b"/>']
)
def test_narratives_that_say_something(inside: str) -> None:
    assert narrative.complaint(f"<div {XHTML}>{inside}</div>") is None


def test_most_narratives_pass_quickly() -> None:
    assert narrative.passes(samples.DIV)
    assert not narrative.passes(samples.DIV + " " * 100_000)  # left to the parser and its limits
    assert narrative.passes(f"<div {XHTML}>" + "<p>" * 6 + "deep" + "</p>" * 6 + "</div>")
    assert not narrative.passes(f"<div {XHTML}>" + "<p>" * 7 + "deeper" + "</p>" * 7 + "</div>")
