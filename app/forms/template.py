"""SDC templates: a resource with FHIRPath where answers go.

An element with `templateExtractContext` is made once for each result of its expression, and not at all without a result. An element with
`templateExtractValue` becomes the result; without one, that element alone falls away. `x` and `_x` are one element. The extensions
themselves never reach the product, nor does the template's own id.

A template is prepared once: what holds no expression is worked out then, and shared by everything that is made.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.fhir.errors import Invalid
from app.forms.items import SDC

CONTEXT = f"{SDC}sdc-questionnaire-templateExtractContext"
VALUE = f"{SDC}sdc-questionnaire-templateExtractValue"

# `(expression, focus) -> results`
Evaluate = Callable[[str, Any], list[Any]]
# `(focus, evaluate) -> the resources`
Filler = Callable[[Any, Evaluate], list[dict[str, Any]]]
_Maker = Callable[[Any, Evaluate], Any]
_NOTHING: Any = object()


class _Fixed:
    """A maker that makes the same of everything."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self, focus: Any, evaluate: Evaluate) -> Any:
        return self.result


def prepare(template: Mapping[str, Any]) -> Filler:
    """What makes resources of a focus, which is a response item or the whole response.

    One, or none where nothing of it is left; with a `templateExtractContext` on the resource itself, one for each of its results.
    The filler raises Invalid where an element that holds one value would get several. Only the top level of a resource is the caller's own.
    """
    context = _expression(template, CONTEXT)
    make = _object({key: value for key, value in _stripped(template).items() if key != "id"}, str(template.get("resourceType")))

    def fill(focus: Any, evaluate: Evaluate) -> list[dict[str, Any]]:
        members = evaluate(context, focus) if context is not None else [focus]
        made = [make(member, evaluate) for member in members]
        return [dict(resource) for resource in made if resource is not _NOTHING and set(resource) > {"resourceType"}]

    return fill


def _expression(element: Any, url: str) -> str | None:
    if not isinstance(element, dict):
        return None
    for entry in element.get("extension") or ():
        if entry.get("url") == url:
            if "valueString" in entry:
                return str(entry["valueString"])
            return str((entry.get("valueExpression") or {}).get("expression", ""))
    return None


def _stripped(element: Mapping[str, Any]) -> dict[str, Any]:
    """`element` without the two template extensions."""
    kept = [entry for entry in element.get("extension") or () if entry.get("url") not in (CONTEXT, VALUE)]
    rest = {key: value for key, value in element.items() if key != "extension"}
    return {**rest, "extension": kept} if kept else rest


def _combined(makers: Sequence[_Maker], combine: Callable[[list[Any]], Any]) -> _Maker:
    """`combine` over what each of `makers` makes; at once where all are fixed."""
    if all(isinstance(maker, _Fixed) for maker in makers):
        return _Fixed(combine([maker.result for maker in makers]))  # type: ignore[attr-defined]
    return lambda focus, evaluate: combine([maker(focus, evaluate) for maker in makers])


def _object(element: Mapping[str, Any], path: str) -> _Maker:
    """`element` with everything below it filled."""
    names = list(dict.fromkeys(key.removeprefix("_") for key in element))
    makers = [_property(element.get(n, _NOTHING), element.get(f"_{n}", _NOTHING), f"{path}.{n}") for n in names]

    def combine(properties: list[tuple[Any, Any]]) -> Any:
        made: dict[str, Any] = {}
        for name, (filled, rest) in zip(names, properties, strict=True):
            if filled is not _NOTHING:
                made[name] = filled
            if rest is not _NOTHING:
                made[f"_{name}"] = rest
        return made or _NOTHING

    return _combined(makers, combine)


def _property(value: Any, shadow: Any, path: str) -> _Maker:
    """The property and its `_` companion after filling; `_NOTHING` for what falls away."""
    if isinstance(value, list) or isinstance(shadow, list):
        return _array(value, shadow, path)
    if not _to_fill(shadow if isinstance(shadow, dict) else value):
        if isinstance(value, dict):
            return _combined([_object(value, path)], lambda made: (made[0], shadow))
        return _Fixed((value, shadow))

    def one(instances: list[Any]) -> tuple[Any, Any]:
        (results,) = instances
        if len(results) > 1:
            raise Invalid(f"The template gives {len(results)} values for {path}, which holds one.", expression=path)
        return results[0] if results else (_NOTHING, _NOTHING)

    return _combined([_instances(value, shadow, path)], one)


def _to_fill(element: Any) -> bool:
    return _expression(element, CONTEXT) is not None or _expression(element, VALUE) is not None


def _array(value: Any, shadow: Any, path: str) -> _Maker:
    values: Sequence[Any] = value if isinstance(value, list) else []
    shadows: Sequence[Any] = shadow if isinstance(shadow, list) else []
    makers: list[_Maker] = []  # each makes a list of instances
    for index in range(max(len(values), len(shadows))):
        one = values[index] if index < len(values) and values[index] is not None else _NOTHING
        other = shadows[index] if index < len(shadows) and shadows[index] is not None else _NOTHING
        here = f"{path}[{index}]"
        if _to_fill(one) or _to_fill(other):
            makers.append(_instances(one, other, here))
        else:
            make = _object(one, here) if isinstance(one, dict) else _Fixed(one)
            makers.append(_combined([make], lambda made, other=other: [(made[0], other)]))  # type: ignore[misc]

    def combine(instances: list[list[tuple[Any, Any]]]) -> tuple[Any, Any]:
        made = [pair for several in instances for pair in several if pair[0] is not _NOTHING or pair[1] is not _NOTHING]
        if not made:
            return _NOTHING, _NOTHING
        filled = [None if one is _NOTHING else one for one, _ in made]
        rest = [None if other is _NOTHING else other for _, other in made]
        return (filled if any(one is not None for one in filled) else _NOTHING), (rest if any(rest) else _NOTHING)

    return _combined(makers, combine)


def _instances(value: Any, shadow: Any, path: str) -> _Maker:
    """Every instance that an element with template extensions gives."""
    holder = shadow if isinstance(shadow, dict) else value
    context, expression = _expression(holder, CONTEXT), _expression(holder, VALUE)
    rest: Any = (_stripped(shadow) if isinstance(shadow, dict) else None) or _NOTHING
    below: _Maker = _object(_stripped(value), path) if isinstance(value, dict) else _Fixed(_NOTHING)

    def make(focus: Any, evaluate: Evaluate) -> list[tuple[Any, Any]]:
        made: list[tuple[Any, Any]] = []
        for member in evaluate(context, focus) if context is not None else [focus]:
            if expression is not None:
                for result in evaluate(expression, member):
                    around = below(member, evaluate) if isinstance(result, dict) else _NOTHING
                    made.append((result if around is _NOTHING else {**around, **result}, rest))
            elif isinstance(value, dict):
                filled = below(member, evaluate)
                if filled is not _NOTHING:
                    made.append((filled, rest))
            elif value is not _NOTHING:
                made.append((value, rest))
        return made

    return make
