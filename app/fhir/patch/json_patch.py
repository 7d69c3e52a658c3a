"""JSON Patch (RFC 6902) on plain JSON.

One thing beyond the RFC: an array or object of a resource that loses its last member goes with it, since FHIR has no empty ones.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.fhir import codec
from app.fhir.errors import BadRequest, FHIRError, TooCostly
from app.fhir.patch.errors import MAX_OPERATIONS, PatchError
from app.fhir.patch.values import Budget, copied, prune, same

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}").fullmatch
_BAD_ESCAPE = re.compile(r"~(?![01])").search
_VALUE, _FROM = ("add", "replace", "test"), ("move", "copy")
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def read_json_patch(raw: bytes) -> list[Any]:
    """The operations in a JSON Patch document. Raises Malformed."""
    return codec.decode_list(raw)


def json_patch(resource: Mapping[str, Any], operations: Sequence[Any]) -> dict[str, Any]:
    """What `resource` is after all operations; `resource` itself stays as it is.

    Raises BadRequest for what is no patch, PatchError where an operation does not fit or a test fails, TooCostly over the budget. Each names
    the operation by its number (from 1) and the place in the resource as FHIRPath.
    """
    if len(operations) > MAX_OPERATIONS:
        raise TooCostly(f"The patch has {len(operations)} operations; at most {MAX_OPERATIONS} are taken at once.")
    read = [_read(number, operation) for number, operation in enumerate(operations, 1)]
    whole: Any = copied(dict(resource))
    budget = Budget()
    for operation in read:
        try:
            whole = _APPLY[operation.op](operation, whole, budget)
        except TooCostly as error:
            raise TooCostly(f"Operation {operation.number}: {error}", expression=_fhirpath(whole, operation.tokens)) from None
    if type(whole) is not dict:
        raise PatchError("The patch would leave no object at all.")
    if "resourceType" in whole and any(operation.op in ("remove", "move") for operation in read):
        prune(whole)
    return whole


@dataclass(frozen=True, slots=True)
class _Operation:
    number: int
    op: str
    path: str
    tokens: tuple[str, ...]
    source: tuple[str, ...] = ()
    value: Any = None

    def refuse(self, why: str, whole: Any, tokens: Sequence[str]) -> PatchError:
        """The error of this operation at that place."""
        return PatchError(f"Operation {self.number} ({self.op} {self.path[:200]}): {why}", expression=_fhirpath(whole, tokens))


def _read(number: int, raw: Any) -> _Operation:
    def bad(why: str) -> FHIRError:
        return BadRequest(f"Operation {number} of the JSON Patch {why}.")

    if not isinstance(raw, Mapping):
        raise bad("is not an object")
    op, path = raw.get("op"), raw.get("path")
    if op not in _OPERATIONS:
        raise bad(f"has the 'op' {str(op)[:20]!r}; there are {', '.join(_OPERATIONS)}")
    if op in _VALUE and "value" not in raw:
        raise bad(f"({op}) has no 'value'")
    tokens = _tokens(path)
    if tokens is None:
        raise bad(f"({op}) needs a 'path' that is a JSON Pointer, such as /name/0/family")
    source = _tokens(raw.get("from")) if op in _FROM else ()
    if source is None:
        raise bad(f"({op}) needs a 'from' that is a JSON Pointer")
    if op == "move" and len(source) < len(tokens) and tokens[: len(source)] == source:
        raise bad("moves something into itself")
    return _Operation(number, str(op), str(path), tokens, source, raw.get("value"))


def _tokens(pointer: Any) -> tuple[str, ...] | None:
    """A JSON Pointer (RFC 6901) as its parts; None if it is not one."""
    if not isinstance(pointer, str) or (pointer and pointer[0] != "/") or _BAD_ESCAPE(pointer):
        return None
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _fhirpath(whole: Any, tokens: Sequence[str]) -> str | None:
    kind = whole.get("resourceType") if type(whole) is dict else None
    if not isinstance(kind, str):
        return None
    place = kind[:64]
    for step in tokens[: codec.MAX_DEPTH]:
        place += f"[{step}]" if _INDEX(step) else "" if step == "-" else f".{step[:64]}"
    return place


# ---- the way to a place ---------------------------------------------------------------------------------------------------


def _inside(operation: _Operation, whole: Any, tokens: Sequence[str], holder: Any, at: int) -> Any:
    step = tokens[at]
    if type(holder) is dict and step in holder:
        return holder[step]
    if type(holder) is list and _INDEX(step) and int(step) < len(holder):
        return holder[int(step)]
    raise operation.refuse(f"there is nothing at /{'/'.join(tokens[: at + 1])[:200]}.", whole, tokens[: at + 1])


def _find(operation: _Operation, whole: Any, tokens: Sequence[str]) -> Any:
    holder = whole
    for at in range(len(tokens)):
        holder = _inside(operation, whole, tokens, holder, at)
    return holder


def _put(operation: _Operation, whole: Any, value: Any) -> Any:
    """`add` and the second half of `move` and `copy`."""
    tokens = operation.tokens
    if not tokens:
        return value
    holder = _find(operation, whole, tokens[:-1])
    step = tokens[-1]
    if type(holder) is dict:
        holder[step] = value
    elif type(holder) is not list:
        raise operation.refuse("what is there has no members.", whole, tokens[:-1])
    elif step == "-":
        holder.append(value)
    elif _INDEX(step) and int(step) <= len(holder):
        holder.insert(int(step), value)
    else:
        raise operation.refuse(f"the array has {len(holder)} items and no place '{step[:20]}'.", whole, tokens)
    return whole


def _take(operation: _Operation, whole: Any, tokens: Sequence[str]) -> Any:
    if not tokens:
        raise operation.refuse("the whole cannot be taken away.", whole, ())
    value = _find(operation, whole, tokens)
    holder = _find(operation, whole, tokens[:-1])
    del holder[int(tokens[-1]) if type(holder) is list else tokens[-1]]
    return value


# ---- the operations -------------------------------------------------------------------------------------------------------


def _add(operation: _Operation, whole: Any, budget: Budget) -> Any:
    budget.spend(operation.value, len(operation.tokens))
    return _put(operation, whole, copied(operation.value))


def _remove(operation: _Operation, whole: Any, _budget: Budget) -> Any:
    _take(operation, whole, operation.tokens)
    return whole


def _replace(operation: _Operation, whole: Any, budget: Budget) -> Any:
    tokens = operation.tokens
    _find(operation, whole, tokens)
    budget.spend(operation.value, len(tokens))
    value = copied(operation.value)
    if not tokens:
        return value
    holder = _find(operation, whole, tokens[:-1])
    holder[int(tokens[-1]) if type(holder) is list else tokens[-1]] = value
    return whole


def _move(operation: _Operation, whole: Any, budget: Budget) -> Any:
    if operation.source == operation.tokens:
        _find(operation, whole, operation.tokens)
        return whole
    value = _take(operation, whole, operation.source)
    budget.spend(value, len(operation.tokens))
    return _put(operation, whole, value)


def _copy(operation: _Operation, whole: Any, budget: Budget) -> Any:
    value = _find(operation, whole, operation.source)
    budget.spend(value, len(operation.tokens))
    return _put(operation, whole, copied(value))


def _test(operation: _Operation, whole: Any, _budget: Budget) -> Any:
    if not same(_find(operation, whole, operation.tokens), operation.value):
        raise operation.refuse("the test does not hold: the value there is another.", whole, operation.tokens)
    return whole


_APPLY: dict[str, Callable[[_Operation, Any, Budget], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
