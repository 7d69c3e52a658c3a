"""The XHTML of a narrative: well-formed, one div in the right namespace, formatting only, nothing that runs.

A page may show a narrative as it is; whatever is let through here must be harmless there. The lists are those of rule txt-1.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from app.fhir import xml
from app.fhir.errors import Malformed

_NAMESPACE = "{http://www.w3.org/1999/xhtml}"
_IMAGE = _NAMESPACE + "img"


def _words(text: str, prefix: str = "") -> frozenset[str]:
    return frozenset(prefix + word for word in text.split())


_ELEMENTS = _words(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre "
    "q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var",
    _NAMESPACE,
)
_ATTRIBUTES = _words(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite class "
    "colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev rowspan rules scope "
    "shape span src start style summary tabindex title type valign value vspace width {http://www.w3.org/XML/1998/namespace}lang "
    "{http://www.w3.org/XML/1998/namespace}space"
)
_ADDRESSES = frozenset(["href", "src", "cite", "longdesc"])
_RUNS = re.compile(r"[\s\x00-\x1f]*(?:javascript|vbscript|data:(?!\s*image/))", re.IGNORECASE)
_IGNORED = re.compile(r"[\t\n\r]+")  # by browsers, wherever they stand in an address


@functools.cache
def _plain() -> Callable[[str], re.Match[str] | None]:
    """Matches narratives as most systems make them: balanced tags of `_ELEMENTS`, six deep, with two attributes each at most, and text.

    Whatever it matches is well-formed and harmless; the rest is judged by the parser. No quantifier gives back, so the time is linear.
    """
    dirt = r"\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
    text = rf"[^<&>{dirt}]*+"
    reference = "&(?:amp|lt|gt|quot|apos|#(?:3[2-9]|[4-9][0-9]|[1-9][0-9]{2,3}));"
    value = rf'"[^<&>"\t\n\r{dirt}]*+"'
    name = (
        "(?:class|style|id|name|title|width|align|valign|border|colspan|rowspan|lang|alt|summary|bgcolor|cellpadding|cellspacing"
        r'|(?:href|src)(?=="(?!\s*(?i:javascript|vbscript|data))))'
    )
    tags = "|".join([*_OFTEN, *sorted({tag.removeprefix(_NAMESPACE) for tag in _ELEMENTS}.difference(_OFTEN))])
    says_something = "(?=(?:<[^>]*+>)*+[^<])"
    inside = text
    for level in range(6, 0, -1):
        attributes = f"(?: (?P<a{level}>{name})={value}(?: (?!(?P=a{level})=){name}={value})?+)?+"
        element = f"<(?P<t{level}>{tags}){attributes}(?:/>|>{inside}</(?P=t{level})>)"
        inside = rf"{text}(?:(?:{reference}|{element}){text})*+"
    return re.compile(
        rf'<div xmlns="{re.escape(_NAMESPACE[1:-1])}"(?: (?:class|style|lang|id)={value})?+>{says_something}{inside}</div>'
    ).fullmatch


_OFTEN = "p b td tr br i span div table tbody th a ul li".split()
_MOST = 100_000  # characters of a narrative that may be judged without the parser, whose own limits lie beyond


def passes(div: Any) -> bool:
    """A quick yes to most narratives that have no `complaint`; a no says nothing."""
    return type(div) is str and len(div) <= _MOST and _plain()(div) is not None


def complaint(div: Any) -> str | None:
    """What is wrong with a `Narrative.div`, as a sentence; None where nothing is. It parses: ask `passes` first."""
    if type(div) is not str or not div:
        return "The narrative must be one XHTML div, as a string."
    try:
        root = xml.parse(div.encode("utf-8", "surrogatepass"))
    except Malformed as error:
        return f"The narrative is not well-formed XHTML: {error.issues[0].diagnostics}"
    if root.tag != _NAMESPACE + "div":
        return 'The narrative must start with <div xmlns="http://www.w3.org/1999/xhtml">.'
    says_something = False
    for element in root.iter():
        tag = element.tag
        says_something = says_something or bool(element.tail)
        if tag not in _ELEMENTS:
            if isinstance(tag, str):
                return f"The narrative has <{tag.rpartition('}')[2]}>, which is no basic formatting; take it out."
            continue  # a comment
        says_something = says_something or bool(element.text) or tag == _IMAGE
        if names := element.keys():
            for name in names:
                if name not in _ATTRIBUTES:
                    return f"The narrative has the attribute '{str(name)[:64]}', which is no basic formatting; take it out."
                if name in _ADDRESSES and _RUNS.match(_IGNORED.sub("", str(element.get(name)))):
                    return f"The narrative has a script in '{name!s}'; take it out."
    # Blanks alone pass: HL7's own examples have such narratives, and an implementation that sends them loses nothing by it.
    return None if says_something else "The narrative says nothing; give it text or leave it out."
