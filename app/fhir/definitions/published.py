"""What R4 publishes beside its types: profiles and extensions, code systems and value sets. Facts only, in FHIR's own shape.

Read from two files when first asked for: a program that only checks structure never pays for them. `build` makes the files.
"""

import functools
import gzip
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import msgspec

PROFILES_FILE = "profiles.json.gz"
TERMINOLOGY_FILE = "terminology.json.gz"

Resource = Mapping[str, Any]

_STRUCTURE = ("resourceType", "id", "url", "name", "kind", "abstract", "type", "baseDefinition", "derivation")
_ELEMENT = frozenset(
    "id path sliceName sliceIsConstraining slicing min max type contentReference maxLength mustSupport isModifier isSummary".split()
)
_VALUES = ("fixed", "pattern", "minValue", "maxValue")
_CONTAINED = ("resourceType", "url", "content", "caseSensitive", "valueSet")


@functools.cache
def profiles() -> tuple[Resource, ...]:
    """R4's StructureDefinitions that constrain a type (its extensions among them), with differentials only."""
    return tuple(_read(PROFILES_FILE)["profiles"])


@functools.cache
def terminology() -> tuple[Resource, ...]:
    """R4's CodeSystems (concepts with code, properties and children) and ValueSets (compose)."""
    read = _read(TERMINOLOGY_FILE)
    return (*read["code_systems"], *read["value_sets"])


def _read(name: str) -> Any:
    return msgspec.json.decode(gzip.decompress(resources.files(__package__).joinpath(name).read_bytes()))


def pack_profiles(structures: Iterable[Resource]) -> bytes:
    """The bytes of the file of profiles."""
    return _pack({"profiles": [slim_profile(each) for each in _sorted(structures) if each.get("derivation") == "constraint"]})


def pack_terminology(code_systems: Iterable[Resource], value_sets: Iterable[Resource]) -> bytes:
    """The bytes of the file of code systems and value sets."""
    return _pack(
        {
            "code_systems": [slim_code_system(each) for each in _sorted(code_systems)],
            "value_sets": [slim_value_set(each) for each in _sorted(value_sets)],
        }
    )


def _pack(content: Any) -> bytes:
    return gzip.compress(msgspec.json.encode(content), compresslevel=9, mtime=0)


def _sorted(found: Iterable[Resource]) -> list[Resource]:
    return sorted((each for each in found if "url" in each), key=lambda each: str(each["url"]))


def slim_profile(structure: Resource) -> Resource:
    """A profile without its prose."""
    slim: dict[str, Any] = {key: structure[key] for key in _STRUCTURE if key in structure}
    for key in ("context", "contextInvariant"):
        if key in structure:
            slim[key] = structure[key]
    elements = structure.get("differential", structure.get("snapshot", {})).get("element", [])
    slim["differential"] = {"element": [_slim_element(each) for each in elements]}
    return slim


def _slim_element(element: Resource) -> Resource:
    slim = {key: value for key, value in element.items() if key in _ELEMENT or key.startswith(_VALUES)}
    if "binding" in element:
        slim["binding"] = {key: element["binding"][key] for key in ("strength", "valueSet") if key in element["binding"]}
    if "constraint" in element:
        slim["constraint"] = [
            {key: each[key] for key in ("key", "severity", "human", "expression") if key in each}
            for each in element["constraint"]
        ]
    return slim


def slim_code_system(system: Resource) -> Resource:
    """A code system without names and definitions."""
    slim = {key: system[key] for key in _CONTAINED if key in system}
    if "concept" in system:
        slim["concept"] = list(_slim_concepts(system["concept"]))
    return slim


def _slim_concepts(concepts: Iterable[Resource]) -> Iterator[Resource]:
    for concept in concepts:
        slim: dict[str, Any] = {"code": concept["code"]}
        if "property" in concept:
            slim["property"] = [each for each in concept["property"] if not {"valueString", "valueDateTime"} & each.keys()]
        if "concept" in concept:
            slim["concept"] = list(_slim_concepts(concept["concept"]))
        yield slim


def slim_value_set(value_set: Resource) -> Resource:
    """A value set without names: what it includes and excludes."""
    slim: dict[str, Any] = {"resourceType": "ValueSet", "url": value_set["url"]}
    compose = value_set.get("compose")
    if compose:
        slim["compose"] = {
            way: [_slim_include(each) for each in compose[way]] for way in ("include", "exclude") if way in compose
        }
    return slim


def _slim_include(include: Resource) -> Resource:
    slim = {key: include[key] for key in ("system", "filter", "valueSet") if key in include}
    if "concept" in include:
        slim["concept"] = [{"code": each["code"]} for each in include["concept"]]
    return slim
