"""Where an expression leads: not only to values, as FHIRPath does, but to their places in the JSON, so that they can be changed.

R4 asks for a simple path (members, indexes, `where`, `first`, ...). Steps are walked here; criteria and indexes inside them are
ordinary FHIRPath, under its budget.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.fhir.errors import BadRequest
from app.fhir.fhirpath import Environment, FHIRPathError, Node, compile, model
from app.fhir.fhirpath.compiler import Compiler
from app.fhir.fhirpath.syntax import Binary, Call, Index, Literal, Member, Special, Syntax, TypeTest, Variable
from app.fhir.fhirpath.types import is_of, resolve_type_name
from app.fhir.fhirpath.values import singleton
from app.fhir.patch.values import Budget


@dataclass(frozen=True, slots=True)
class Place:
    """One element: `holder[key]`, or item `index` of it. The root has no holder."""

    node: Node
    holder: dict[str, Any] | None = None
    key: str = ""
    index: int | None = None
    parent: "Place | None" = None

    @property
    def path(self) -> str:
        """As FHIRPath."""
        if self.parent is None:
            return self.node.type
        step = self.key if self.index is None else f"{self.key}[{self.index}]"
        return f"{self.parent.path}.{step}"


Places = list[Place]


def locate(path: str, resource: dict[str, Any], budget: Budget) -> Places:
    """The places that `path` leads to. Raises FHIRPathError, BadRequest for a path that computes instead of leading, TooCostly."""
    return locate_tree(compile(path).tree, resource, budget)


def split(path: str) -> tuple[Syntax, str]:
    """The way to the parent and the name of the last member: of the path to a list. Raises BadRequest where it does not end in a name."""
    tree = compile(path).tree
    if not isinstance(tree, Member) or (tree.target is None and model.known(tree.name)):
        raise BadRequest(f"'{path[:200]}' is not the path to a list: it must end in the name of an element.")
    return tree.target or Special("$this"), tree.name


def locate_tree(tree: Syntax, resource: dict[str, Any], budget: Budget) -> Places:
    """`locate` of a part of an expression."""
    root = Place(Node(resource, str(resource.get("resourceType", ""))))
    walk = _Walk(root)
    walk.env.steps = budget.steps
    try:
        return walk.places(tree, root)
    except (AttributeError, TypeError, KeyError, ValueError, ArithmeticError) as problem:
        raise FHIRPathError("FHIRPath: the resource has not the shape of its type along the path") from problem
    finally:
        budget.steps = max(0, walk.env.steps)


class _Walk:
    def __init__(self, root: Place) -> None:
        self.root = root
        self.env = Environment(root.node)

    def places(self, tree: Syntax, this: Place) -> Places:
        match tree:
            case Member(target=None, name=name) if name[:1].isupper() and model.known(name):
                return [this] if model.is_a(this.node.type, name) else []
            case Member(target=target, name=name):
                return self._members([this] if target is None else self.places(target, this), name)
            case Index(target=target, index=index):
                return self._at(self.places(target, this), self._number(index, this))
            case TypeTest(operator="as", operand=operand, type=kind):
                return self._of_type(self.places(operand, this), kind)
            case Call(target=target, name=name, args=args) if name in _FUNCTIONS:
                found = [this] if target is None else self.places(target, this)
                return _FUNCTIONS[name](self, found, args, this)
            case Special(name="$this"):
                return [this]
            case Variable(name="resource" | "context" | "rootResource"):
                return [self.root]
            case Binary(operator="|", left=left, right=right):
                return self.places(left, this) + self.places(right, this)
        raise BadRequest(
            "The path of a patch leads to an element, by names, indexes, where(), first() and the like; this one computes."
        )

    def _members(self, found: Places, name: str) -> Places:
        below = [child for place in found for child in children(place, name)]
        self.env.spend(len(found) + len(below))
        return below

    def _at(self, found: Places, index: int) -> Places:
        return found[index : index + 1] if index >= 0 else []

    def _of_type(self, found: Places, kind: str) -> Places:
        wanted = resolve_type_name(kind, True)
        return [place for place in found if is_of(place.node, wanted, exact=True)]

    def _number(self, tree: Syntax, this: Place) -> int:
        value = singleton(Compiler(this.node.type, False).compile(tree).run(this.node, self.env), "an index")
        if type(value) is not int:
            raise FHIRPathError("FHIRPath: an index is a whole number")
        return value

    def where(self, found: Places, args: tuple[Syntax, ...], _this: Place) -> Places:
        kept = []
        criteria = {kind: Compiler(kind, False).compile(args[0]) for kind in {place.node.type for place in found}}
        for self.env.index, place in enumerate(found):
            self.env.spend(1)
            if criteria[place.node.type].test(place.node, self.env) is True:
                kept.append(place)
        self.env.index = None
        return kept

    def of_type(self, found: Places, args: tuple[Syntax, ...], _this: Place) -> Places:
        return self._of_type(found, _type_name(args[0]))

    def extension(self, found: Places, args: tuple[Syntax, ...], _this: Place) -> Places:
        if not isinstance(args[0], Literal):
            raise BadRequest("extension() takes the URL of the extension.")
        return [place for place in self._members(found, "extension") if place.node.value.get("url") == args[0].value]

    def first(self, found: Places, _args: tuple[Syntax, ...], _this: Place) -> Places:
        return found[:1]

    def last(self, found: Places, _args: tuple[Syntax, ...], _this: Place) -> Places:
        return found[-1:]

    def tail(self, found: Places, _args: tuple[Syntax, ...], _this: Place) -> Places:
        return found[1:]

    def single(self, found: Places, _args: tuple[Syntax, ...], _this: Place) -> Places:
        if len(found) > 1:
            raise FHIRPathError(f"FHIRPath: single() takes one item, there are {len(found)}")
        return found

    def skip(self, found: Places, args: tuple[Syntax, ...], this: Place) -> Places:
        return found[max(0, self._number(args[0], this)) :]

    def take(self, found: Places, args: tuple[Syntax, ...], this: Place) -> Places:
        return found[: max(0, self._number(args[0], this))]


_Function = Callable[[_Walk, Places, tuple[Syntax, ...], Place], Places]
_FUNCTIONS: dict[str, _Function] = {
    "where": _Walk.where,
    "ofType": _Walk.of_type,
    "as": _Walk.of_type,
    "extension": _Walk.extension,
    "first": _Walk.first,
    "last": _Walk.last,
    "tail": _Walk.tail,
    "single": _Walk.single,
    "skip": _Walk.skip,
    "take": _Walk.take,
}


def children(place: Place, name: str) -> Places:
    """The places of the children of one name, in their order. A primitive that has only an extension is a place too."""
    node = place.node
    if node.type in model.PRIMITIVE:
        return _of_companion(place, name)
    step = model.children(node.type).get(name)
    if step is None or type(node.value) is not dict:
        return []
    found: Places = []
    for key, kind in step.keys.items():
        companion = "_" + key if kind in model.PRIMITIVE else ""
        if key not in node.value and companion not in node.value:
            continue
        value, extra = node.value.get(key), node.value.get(companion)
        if type(value) is list or type(extra) is list:
            values, extras = value or [], extra or []
            for index in range(max(len(values), len(extras))):
                one = values[index] if index < len(values) else None
                more = extras[index] if index < len(extras) else None
                if one is not None or more is not None:
                    found.append(_place(place, key, index, one, kind, more))
        else:
            found.append(_place(place, key, None, value, kind, extra))
    return found


def _place(parent: Place, key: str, index: int | None, value: Any, kind: str, extra: Any) -> Place:
    if type(value) is dict and kind in model.ABSTRACT:
        kind = str(value.get("resourceType", kind))
    return Place(Node(value, kind, extra), parent.node.value, key, index, parent)


def _of_companion(place: Place, name: str) -> Places:
    """Extensions of a primitive lie beside it in the JSON."""
    extra = place.node.extra
    if name != "extension" or type(extra) is not dict or type(extra.get("extension")) is not list:
        return []
    return [Place(Node(one, "Extension"), extra, "extension", index, place) for index, one in enumerate(extra["extension"])]


def _type_name(tree: Syntax) -> str:
    if isinstance(tree, Member):
        return tree.name if tree.target is None else f"{_type_name(tree.target)}.{tree.name}"
    raise BadRequest("ofType() takes the name of a type.")
