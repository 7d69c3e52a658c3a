"""Where a rule is asked: the nearest resource, the one that contains it, and the Bundle around.

A contained resource has its container as root; the resource of a Bundle entry is its own root, since `#id` there means its own
contained resources. References are followed inside these two and nowhere else: no I/O.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from app.fhir import references
from app.fhir.fhirpath import Environment, Node
from app.fhir.validation.report import Path

Resource = Mapping[str, Any]
MAX_STEPS = 1_000_000
MemberOf = Callable[[Any, str], bool | None]


class Entries:
    """The entries of a Bundle by fullUrl, and by `Type/id` for references that are relative."""

    def __init__(self, bundle: Resource) -> None:
        self.type = str(bundle.get("type"))
        self.by_url: dict[str, Resource] = {}
        self.by_name: dict[str, Resource] = {}
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            url = entry.get("fullUrl")
            if isinstance(url, str):
                self.by_url.setdefault(url, resource)
                self.by_name.setdefault("/".join(url.rsplit("/", 2)[-2:]), resource)
            self.by_name.setdefault(f"{resource.get('resourceType')}/{resource.get('id')}", resource)

    def find(self, reference: str) -> Resource | None:
        """The resource that a reference in this Bundle means."""
        reference = reference.partition("/_history/")[0].partition("#")[0]
        return self.by_url.get(reference) or self.by_name.get(reference)


class Around:
    """What a reference may mean: the root with what it contains, and the Bundle around.

    Apart from the scope, so that no scope holds itself: what was judged is then freed at once, however large, and waits for no collector.
    """

    def __init__(self, root: Resource, entries: Entries | None) -> None:
        self.root = root
        self.entries = entries

    @cached_property
    def contained(self) -> dict[str, Resource]:
        """What the root contains, by id."""
        contained = self.root.get("contained")
        found = contained if isinstance(contained, list) else []
        return {each["id"]: each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str)}

    def resolve(self, reference: str) -> Resource | None:
        """The resource of a reference, where it is contained or in the same Bundle."""
        if reference[:1] == "#":
            return self.contained.get(reference[1:]) if len(reference) > 1 else self.root
        return self.entries.find(reference) if self.entries is not None else None


class Scope:
    """See the module."""

    def __init__(
        self, resource: Resource, root: Resource, path: Path, entries: Entries | None = None, member_of: MemberOf | None = None
    ) -> None:
        self.resource = resource
        self.root = root
        self.path = path
        self.budget = [MAX_STEPS]  # what is left for judging by profiles, shared with what is judged on the way
        self.seen: set[str] = set()  # every `#id` in a Reference so far; shared by a resource and what it contains
        self.entries = entries
        self.type = str(resource.get("resourceType"))
        node = Node(resource, self.type)
        self.env = Environment(node, node, node if root is resource else Node(root, str(root.get("resourceType"))))
        self.around = Around(root, entries)
        self.resolve = self.env.resolve = self.around.resolve
        self.env.member_of = member_of

    @cached_property
    def contained_ids(self) -> frozenset[str]:
        """The ids that `#id` may name."""
        return frozenset(self.around.contained)

    @cached_property
    def local(self) -> frozenset[str]:
        """All `#id` that anything in the root points to."""
        return frozenset(place.value for place in references.places(self.root) if place.value[:1] == "#")
