"""SDC templates: a resource with FHIRPath where answers go.

An element with `templateExtractContext` is made once for each result of its expression, and not at all without a result. An element with
`templateExtractValue` becomes the result; without one, that element alone falls away. `x` and `_x` are one element. The extensions
themselves never reach the product, nor does the template's own id.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.fhir.errors import Invalid
from app.forms.items import SDC

CONTEXT = f"{SDC}sdc-questionnaire-templateExtractContext"
VALUE = f"{SDC}sdc-questionnaire-templateExtractValue"

# `(expression, focus) -> results`
Evaluate = Callable[[str, Any], list[Any]]
_NOTHING: Any = object()


def fill(template: Mapping[str, Any], focus: Any, evaluate: Evaluate) -> list[dict[str, Any]]:
    """The resources that `template` makes of `focus`, a response item or the whole response.

    One, or none where nothing of it is left; with a `templateExtractContext` on the resource itself, one for each of its results.
    Raises Invalid where an element that holds one value would get several.
    """
    context = _expression(template, CONTEXT)
    bare = {key: value for key, value in _stripped(template).items() if key != "id"}
    made = []
    for member in evaluate(context, focus) if context is not None else [focus]:
        resource = _object(bare, member, evaluate, str(template.get("resourceType")))
        if resource is not _NOTHING and set(resource) > {"resourceType"}:
            made.append(resource)
    return made


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


def _object(element: Mapping[str, Any], focus: Any, evaluate: Evaluate, path: str) -> Any:
    """`element` with everything below it filled."""
    made: dict[str, Any] = {}
    names = dict.fromkeys(key.removeprefix("_") for key in element)
    for name in names:
        value, shadow = element.get(name, _NOTHING), element.get(f"_{name}", _NOTHING)
        filled, rest = _property(value, shadow, focus, evaluate, f"{path}.{name}")
        if filled is not _NOTHING:
            made[name] = filled
        if rest is not _NOTHING:
            made[f"_{name}"] = rest
    return made or _NOTHING


def _property(value: Any, shadow: Any, focus: Any, evaluate: Evaluate, path: str) -> tuple[Any, Any]:
    """The property and its `_` companion after filling; `_NOTHING` for what falls away."""
    if isinstance(value, list) or isinstance(shadow, list):
        return _array(value, shadow, focus, evaluate, path)
    holder = shadow if isinstance(shadow, dict) else value
    if _expression(holder, CONTEXT) is None and _expression(holder, VALUE) is None:
        if isinstance(value, dict):
            return _object(value, focus, evaluate, path), shadow
        return value, shadow
    results = _instances(value, shadow, focus, evaluate, path)
    if len(results) > 1:
        raise Invalid(f"The template gives {len(results)} values for {path}, which holds one.", expression=path)
    return results[0] if results else (_NOTHING, _NOTHING)


def _array(value: Any, shadow: Any, focus: Any, evaluate: Evaluate, path: str) -> tuple[Any, Any]:
    values: Sequence[Any] = value if isinstance(value, list) else []
    shadows: Sequence[Any] = shadow if isinstance(shadow, list) else []
    made: list[tuple[Any, Any]] = []
    for index in range(max(len(values), len(shadows))):
        one = values[index] if index < len(values) and values[index] is not None else _NOTHING
        other = shadows[index] if index < len(shadows) and shadows[index] is not None else _NOTHING
        here = f"{path}[{index}]"
        if _expression(other, CONTEXT) or _expression(other, VALUE) or _expression(one, CONTEXT) or _expression(one, VALUE):
            made.extend(_instances(one, other, focus, evaluate, here))
        else:
            made.append((_object(one, focus, evaluate, here) if isinstance(one, dict) else one, other))
    made = [pair for pair in made if pair != (_NOTHING, _NOTHING)]
    if not made:
        return _NOTHING, _NOTHING
    filled = [None if one is _NOTHING else one for one, _ in made]
    rest = [None if other is _NOTHING else other for _, other in made]
    return (filled if any(one is not None for one in filled) else _NOTHING), (rest if any(rest) else _NOTHING)


def _instances(value: Any, shadow: Any, focus: Any, evaluate: Evaluate, path: str) -> list[tuple[Any, Any]]:
    """Every instance that an element with template extensions gives."""
    holder = shadow if isinstance(shadow, dict) else value
    context, expression = _expression(holder, CONTEXT), _expression(holder, VALUE)
    rest: Any = _stripped(shadow) if isinstance(shadow, dict) else _NOTHING
    rest = rest or _NOTHING
    made: list[tuple[Any, Any]] = []
    for member in evaluate(context, focus) if context is not None else [focus]:
        if expression is not None:
            for result in evaluate(expression, member):
                below = _object(_stripped(value), member, evaluate, path) if isinstance(value, dict) else _NOTHING
                merged = {**below, **result} if isinstance(result, dict) and below is not _NOTHING else result
                made.append((merged, rest))
        elif isinstance(value, dict):
            filled = _object(_stripped(value), member, evaluate, path)
            if filled is not _NOTHING:
                made.append((filled, rest))
        elif value is not _NOTHING:
            made.append((value, rest))
    return made
