"""Applies profiles: the rules that a profile adds to what R4 itself says, compiled from its tree when first needed.

What must stay true: whatever the base validator has said is not said again; a reference is followed only inside the resource and its Bundle; a
profile that refers to itself, or a resource that does, ends.
"""

from collections.abc import Callable, Mapping

from app.fhir.definitions import r4
from app.fhir.profiles import rules
from app.fhir.profiles.definition import Definition, base
from app.fhir.profiles.library import Library, Profile
from app.fhir.profiles.run import Item, Mismatch, Run, is_a, items_at
from app.fhir.profiles.slicing import Slicing
from app.fhir.terminology import Terminology
from app.fhir.validation.scope import Scope

Check = Callable[[Item, Run], None]


class Plan:
    """What one definition asks of an item, and of its children."""

    __slots__ = (
        "checks",
        "children",
        "definition",
        "is_list",
        "keys",
        "location",
        "max",
        "min",
        "must_support",
        "slicing",
        "who",
    )

    def __init__(self, definition: Definition, who: str) -> None:
        self.definition = definition
        self.who = who
        self.location = definition.name.removesuffix("[x]")
        self.keys: Mapping[str, str] = {}
        self.is_list = False
        self.min = 0
        self.max: int | None = None
        self.must_support = False
        self.checks: list[Check] = []
        self.children: list[Plan] | None = None  # None: not looked at yet
        self.slicing: Slicing | None = None


class Conformance:
    """Plans by definition. The library keeps the definitions alive, so their identity is a key."""

    def __init__(self, library: Library, terminology: Terminology, must_support: bool = False) -> None:
        self.library = library
        self.terminology = terminology
        self.must_support = must_support
        self._plans: dict[int, Plan] = {}
        self._profiles: dict[str, Plan] = {}
        self._urls: dict[int, str] = {}
        self._roots: dict[int, Definition] = {}

    # ---- applying

    def apply(self, profile: Profile, item: Item, run: Run) -> None:
        """Judges an item by a profile, once however often it is asked on the way."""
        mark = (id(item.value), profile.url)
        if mark in run.active:
            return
        run.spend()
        if not is_a(item.type, profile.type):
            run.say("error", "invalid", item.path, f"The profile {profile.url} is for {profile.type}, but this is a {item.type}.")
            return
        for problem in profile.problems:
            run.say("warning", "not-supported", item.path, f"A part of the profile {profile.url} could not be used: {problem}.")
        self.judge(self.plan(profile), item, run.within(mark))

    def fits(self, item: Item, url: str, run: Run) -> bool:
        """Whether an item conforms to a profile or is of a type; True where the profile is not known."""
        profile = self.library.get(url)
        if profile is None:
            kind = self.library.type_of(url)
            return not kind or is_a(item.type, kind)
        try:
            scope = run.scope
            if item.value is not scope.resource and isinstance(item.value, dict) and "resourceType" in item.value:
                scope = Scope(item.value, item.value, item.path, scope.entries, scope.env.member_of)
                scope.budget = run.scope.budget
            self.apply(profile, item, run.quiet(scope))
        except Mismatch:
            return False
        return True

    def judge(self, plan: Plan, item: Item, run: Run) -> None:
        """An item by a plan: its own rules, then its children."""
        run.spend()
        for check in plan.checks:
            check(item, run)
        kind = plan.definition.kind
        if kind and item.type and not is_a(item.type, kind) and not is_a(kind, item.type):
            return
        for child in self._below(plan):
            self._child(child, item, run)

    def _child(self, plan: Plan, parent: Item, run: Run) -> None:
        items = items_at(parent, plan.location, plan.keys, plan.is_list)
        where = (parent.path, plan.location)
        if len(items) < plan.min:
            some = "is required" if plan.min == 1 else f"is needed {plan.min} times"
            run.say("error", "required", where, f"The element '{plan.location}' {some} by {plan.who}: add it.")
        if plan.max is not None and len(items) > plan.max:
            rule = f"at most {plan.max}" if plan.max else "no"
            run.say("error", "structure", where, f"{plan.who} allows {rule} '{plan.location}': there are {len(items)}.")
        if plan.must_support and not items and self.must_support:
            run.say(
                "information", "informational", where, f"{plan.who} expects systems to support '{plan.location}'; it is not here."
            )
        for item in items:
            self.judge(plan, item, run)
        if plan.slicing is not None:
            plan.slicing.judge(items, where, run)

    # ---- compiling

    def plan(self, profile: Profile) -> Plan:
        """Of a whole profile."""
        found = self._profiles.get(profile.url)
        if found is None:
            self._urls[id(profile.tree)] = profile.url
            found = self._profiles[profile.url] = self.plan_of(profile.tree, profile.url, profile.tree)
        return found

    def plan_of(self, definition: Definition, who: str = "the profile", root: Definition | None = None) -> Plan:
        """Of a definition and what is below."""
        found = self._plans.get(id(definition))
        if found is None:
            found = self._plans[id(definition)] = Plan(definition, _name(who))
            self._roots[id(definition)] = root or definition
            found.checks = list(rules.checks_of(self, definition, found.who))
            if definition.slices or "slicing" in definition.own:
                found.slicing = Slicing.of(self, definition, found.who)
        return found

    def _below(self, plan: Plan) -> list[Plan]:
        if plan.children is None:
            plan.children = [
                each for name, child in self._told(plan.definition).items() if (each := self._plan_child(plan, name, child))
            ]
        return plan.children

    def _told(self, definition: Definition) -> dict[str, Definition]:
        """The children that a profile may have said something of: those listed, or those of the element that is repeated here."""
        if definition.children is None and "contentReference" in definition.facts:
            node: Definition | None = self._roots[id(definition)]
            for name in str(definition.facts["contentReference"]).split(".")[1:]:
                node = (node.children or {}).get(name.partition(":")[0]) if node is not None else None
            return (node.children if node is not None else None) or {}
        return definition.children or {}

    def _plan_child(self, parent: Plan, name: str, child: Definition) -> Plan | None:
        refers = "contentReference" in child.facts
        if not child.says_something() and not refers:
            return None
        kind = parent.definition.kind
        element = r4().element(kind if kind in r4().types else "Element", name.removesuffix("[x]"))
        if element is None:
            element = r4().elements("Element").get(name)
        if element is None:
            return None
        plan = self.plan_of(child, parent.who, self._roots[id(parent.definition)])
        plan.keys, plan.is_list = element.json_names, element.is_list
        if "min" in child.own and child.facts["min"] > element.min:
            plan.min = child.facts["min"]
        if "max" in child.own and child.facts["max"] != "*":
            plan.max = int(child.facts["max"])
        plan.must_support = child.facts.get("mustSupport") is True and "mustSupport" in child.own
        return plan

    # ---- questions about definitions

    def children(self, definition: Definition) -> dict[str, Definition]:
        """Of a definition: listed, or from its profile or type."""
        if definition.children is not None:
            return definition.children
        profiles, types = definition.profiles(), definition.types()
        if len(profiles) == 1:
            tree = self.library.tree(profiles[0])
            if tree is not None and tree.children is not None:
                return tree.children
        kind = definition.kind or (types[0] if len(types) == 1 else "")
        return base(kind).children or {} if kind in r4().types else {}

    def extension_url(self, slice: Definition) -> str:
        """The url of the extensions that a slice is for; "" if it does not say."""
        url = self.children(slice).get("url")
        fixed = url.value("fixed") if url is not None else None
        if fixed is not None:
            return str(fixed[1])
        profiles = slice.profiles()
        return profiles[0].partition("|")[0] if profiles else ""

    def url_of(self, definition: Definition) -> str:
        """The URL of the profile whose root this is; "" if it is none."""
        return self._urls.get(id(definition), "")


def _name(who: str) -> str:
    return who.rpartition("/")[2] if "/" in who else who
