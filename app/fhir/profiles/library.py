"""Profiles by URL: R4's own and those that were loaded, each made into a tree when first asked for."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from app.fhir.definitions import published, r4
from app.fhir.profiles.definition import STRUCTURE, Definition, base
from app.fhir.profiles.snapshot import generate

Resource = Mapping[str, Any]


@functools.cache
def _standard() -> Mapping[str, Resource]:
    return {str(each["url"]): each for each in published.profiles()}


class Profile:
    """One profile, ready to be applied. `problems`: what in it could not be used."""

    def __init__(self, structure: Resource, tree: Definition, problems: list[str]) -> None:
        self.url = str(structure.get("url"))
        self.type = str(structure.get("type"))
        self.structure = structure
        self.tree = tree
        self.problems = problems

    @property
    def is_extension(self) -> bool:
        """Whether it defines an extension."""
        return self.type == "Extension"


class Library:
    """What is loaded stands before R4's own under the same URL."""

    def __init__(self, structures: Iterable[Resource] = ()) -> None:
        self._loaded: dict[str, Resource] = {str(each["url"]): each for each in structures if isinstance(each.get("url"), str)}
        self._made: dict[str, Profile | None] = {}
        self._making: set[str] = set()

    def urls(self) -> list[str]:
        """Of what was loaded."""
        return list(self._loaded)

    def structure(self, url: str) -> Resource | None:
        """The StructureDefinition of a canonical URL; with `|version` only that version of what was loaded."""
        bare, _, version = url.partition("|")
        found = self._loaded.get(bare) or _standard().get(bare)
        if found is not None and version and str(found.get("version", version)) != version:
            return None
        return found

    def get(self, url: str) -> Profile | None:
        """The profile, made when first asked for; None if it is not known or cannot be built on its base."""
        bare = url.partition("|")[0]
        if self.structure(url) is None:
            return None
        if bare not in self._made:
            if bare in self._making:
                return None  # it builds on itself
            self._making.add(bare)
            try:
                self._made[bare] = self._make(bare)
            finally:
                self._making.discard(bare)
        return self._made[bare]

    def tree(self, url: str) -> Definition | None:
        """The tree of a type's or profile's URL."""
        name = url.removeprefix(STRUCTURE).partition("|")[0]
        if name in r4().types and self.structure(url) is None:
            return base(name)
        found = self.get(url)
        return found.tree if found is not None else None

    def type_of(self, url: str) -> str:
        """The R4 type that a type's or profile's URL is about; "" if not known."""
        name = url.partition("|")[0].removeprefix(STRUCTURE)
        if name in r4().types:
            return name
        found = self.structure(url)
        return str(found.get("type", "")) if found is not None else ""

    def lacks(self, url: str) -> str:
        """What is missing for a profile that `get` does not give, as a sentence."""
        structure = self.structure(url)
        if structure is None:
            return f"The profile '{url[:200]}' is not known here, so this was not checked against it: load it."
        if structure.get("type") not in r4().types:
            return f"The profile '{url[:200]}' is not for a type of R4, so this was not checked against it."
        on = str(structure.get("baseDefinition", ""))[:200]
        return (
            f"The profile '{url[:200]}' builds on '{on}', which is not known here, so this was not checked against it: load that."
        )

    def _make(self, url: str) -> Profile | None:
        structure = self.structure(url)
        if structure is None or structure.get("type") not in r4().types:
            return None
        on = str(structure.get("baseDefinition") or STRUCTURE + str(structure["type"]))
        tree = self.tree(on)
        if tree is None:
            return None
        made, problems = generate(structure, tree, self.tree)
        return Profile(structure, made, problems)
