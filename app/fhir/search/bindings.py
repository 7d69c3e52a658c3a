"""The code system that a `code` element has by its required binding, so that `gender=http://hl7.org/fhir/administrative-gender|male` works."""

from app.fhir.definitions import r4
from app.fhir.fhirpath.syntax import Binary, Call, Member, Syntax, parse


def implicit_system(type_name: str, expression: str) -> str:
    """The system of the codes that the expression finds on that type; "" where there is none, or more than one."""
    systems = {system for path in branches(parse(expression)) if (system := _system_of(type_name, path)) is not None}
    return systems.pop() if len(systems) == 1 else ""


def branches(tree: Syntax) -> list[Syntax]:
    """The sides of a union."""
    return [*branches(tree.left), *branches(tree.right)] if isinstance(tree, Binary) and tree.operator == "|" else [tree]


def _names(tree: Syntax) -> list[str] | None:
    """The members of a plain path; functions that keep the type (`where`) are passed over."""
    if isinstance(tree, Member):
        above = [] if tree.target is None else _names(tree.target)
        return None if above is None else [*above, tree.name]
    if isinstance(tree, Call) and tree.name == "where" and tree.target is not None:
        return _names(tree.target)
    return None


def _system_of(type_name: str, tree: Syntax) -> str | None:
    names = _names(tree)
    if not names or names[0] not in r4().types or names[0] not in r4().ancestors(type_name):
        return None
    current, codes = type_name, ""
    for name in names[1:]:
        element = r4().element(current, name)
        if element is None or len(element.types) != 1:
            return None
        current, codes = element.types[0], element.codes
    systems = r4().value_sets.get(codes, {})
    return next(iter(systems)) if current == "code" and len(systems) == 1 else None
