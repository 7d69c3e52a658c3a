"""Makes the table of R4 from HL7's own package: `python -m app.fhir.definitions.build PACKAGE [-o DIRECTORY]`.

PACKAGE is the directory or the tar archive of `hl7.fhir.r4.core` 4.0.1 (archive: any compression that tarfile knows). The
same package gives the same table. Facts only: no definitions, comments or descriptions are taken over.
"""

import argparse
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from app.fhir.definitions import published, table
from app.fhir.definitions.value_sets import Expander

Resource = Mapping[str, Any]

_FHIR = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM_TYPE = "http://hl7.org/fhirpath/"
_FHIR_TYPE = f"{_FHIR}structuredefinition-fhir-type"
_REGEX = f"{_FHIR}regex"
_PREFIXES = (
    "StructureDefinition-",
    "ValueSet-",
    "CodeSystem-",
    "SearchParameter-",
    "CompartmentDefinition-",
    "OperationDefinition-",
)
_KINDS = {"primitive-type": "primitive", "complex-type": "complex", "resource": "resource"}
_INHERITED = ("ele-1", "ext-1")  # repeated on every element, often without a source
# The package says `string` of Resource.id by an acknowledged slip; the type is id (4.0.1 errata, and R5's own package).
_CORRECTIONS = {"Resource.id": ("id",)}


def read_package(path: Path) -> list[Resource]:
    """The conformance resources of a package, by file name."""
    return [msgspec.json.decode(raw) for _, raw in sorted(_files(path))]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in path.rglob("*.json"):
            if file.name.startswith(_PREFIXES):
                yield file.name, file.read_bytes()
        return
    with tarfile.open(path) as tar:
        for member in tar:
            name = Path(member.name).name
            if name.startswith(_PREFIXES) and name.endswith(".json") and (content := tar.extractfile(member)):
                yield name, content.read()


def build(resources: Iterable[Resource]) -> table.Table:
    """The table of those conformance resources."""
    by_kind: dict[str, list[Resource]] = {}
    for resource in resources:
        by_kind.setdefault(resource["resourceType"], []).append(resource)
    expander = Expander(_by_url(by_kind.get("CodeSystem", [])), _by_url(by_kind.get("ValueSet", [])))
    structures = by_kind.get("StructureDefinition", [])
    bindings = Bindings(expander, {each["id"]: each for each in structures})
    types = [each for structure in structures if _is_base(structure) for each in _types(structure, bindings)]
    return table.Table(
        version="4.0.1",
        types=tuple(sorted(types, key=lambda each: each.name)),
        value_sets={
            url: {system: tuple(codes) for system, codes in sorted(found.items())} for url, found in sorted(bindings.used.items())
        },
        search_parameters=tuple(_search_parameters(by_kind.get("SearchParameter", []))),
        compartments=_compartments(by_kind.get("CompartmentDefinition", [])),
        operations=tuple(_operations(by_kind.get("OperationDefinition", []))),
    )


def _is_base(structure: Resource) -> bool:
    return structure["kind"] in _KINDS and structure.get("derivation") != "constraint"


def _by_url(resources: Iterable[Resource]) -> dict[str, Resource]:
    return {each["url"]: each for each in resources if "url" in each}


class Bindings:
    """Remembers which value sets the required bindings use, and knows the profiles of data types."""

    def __init__(self, expander: Expander, structures: Mapping[str, Resource]) -> None:
        self.expander = expander
        self.structures = structures
        self.used: dict[str, dict[str, list[str]]] = {}

    def rules(self, profile: str) -> tuple[table.Invariant, ...]:
        """What a profile of a data type asks beyond the type."""
        if not profile:
            return ()
        return _invariants(self.structures[profile]["snapshot"]["element"][0], profile)

    def required(self, definition: Resource) -> str:
        """The URL of the required value set of an element, where its codes can be listed; else nothing."""
        binding = definition.get("binding", {})
        if binding.get("strength") != "required" or "valueSet" not in binding:
            return ""
        url: str = binding["valueSet"].split("|")[0]
        if url not in self.used:
            codes = self.expander.expand(url)
            if codes is None:
                return ""
            self.used[url] = codes
        return url


def _types(structure: Resource, bindings: Bindings) -> Iterator[table.Type]:
    root, *definitions = structure["snapshot"]["element"]
    name = structure["type"]
    kind = _KINDS[structure["kind"]]
    shapes: dict[str, list[table.Element]] = {name: []}
    heads: dict[str, Resource] = {name: root}
    for definition in definitions:
        path = definition["path"]
        parent, _, last = path.rpartition(".")
        if _is_backbone(definition):
            shapes[path] = []
            heads[path] = definition
        inherited = definition["base"]["path"] != path
        if inherited or (kind == "primitive" and last == "value"):
            continue
        shapes[parent].append(_element(definition, bindings))
    for path, elements in shapes.items():
        is_root = path == name
        head = heads[path]
        yield table.Type(
            name=path,
            kind=kind if is_root else "backbone",  # type: ignore[arg-type]
            base=structure.get("baseDefinition", "").removeprefix(_FHIR) if is_root else head["type"][0]["code"],
            abstract=structure["abstract"] if is_root else False,
            own=tuple(elements),
            invariants=_invariants(head, name),
            pattern=_pattern(definitions) if kind == "primitive" else "",
        )


def _is_backbone(definition: Resource) -> bool:
    types = definition.get("type", [])
    return len(types) == 1 and types[0]["code"] in ("BackboneElement", "Element")


def _element(definition: Resource, bindings: Bindings) -> table.Element:
    path: str = definition["path"]
    name = path.rpartition(".")[2]
    types = _type_names(definition)
    profile = _type_profile(definition)
    rules = () if _is_backbone(definition) else _invariants(definition, path.partition(".")[0])
    targets = [
        target.removeprefix(_FHIR)
        for each in definition.get("type", [])
        if each["code"] in ("Reference", "canonical")
        for target in each.get("targetProfile", [])
    ]
    return table.Element(
        name=name.removesuffix("[x]"),
        min=definition["min"],
        max=None if definition["max"] == "*" else int(definition["max"]),
        types=types,
        is_choice=name.endswith("[x]"),
        codes=bindings.required(definition),
        targets=() if "Resource" in targets else tuple(dict.fromkeys(targets)),
        is_summary=definition.get("isSummary", False),
        is_modifier=definition.get("isModifier", False),
        is_xml_attribute="xmlAttr" in definition.get("representation", []),
        invariants=(*rules, *bindings.rules(profile)),
        binding=_bound(definition),
        is_extensible=_strength(definition) == "extensible",
        profile=profile,
        reference=definition.get("contentReference", "").rpartition("#")[2],
    )


def _strength(definition: Resource) -> str:
    return str(definition.get("binding", {}).get("strength", ""))


def _bound(definition: Resource) -> str:
    if _strength(definition) not in ("required", "extensible"):
        return ""
    return str(definition["binding"].get("valueSet", "")).split("|")[0]


def _type_profile(definition: Resource) -> str:
    """R4's own types use one profile of a data type only: SimpleQuantity."""
    return next(
        (str(profile).removeprefix(_FHIR) for each in definition.get("type", []) for profile in each.get("profile", [])), ""
    )


def _type_names(definition: Resource) -> tuple[str, ...]:
    path = definition["path"]
    if path in _CORRECTIONS:
        return _CORRECTIONS[path]
    if "contentReference" in definition:
        return (definition["contentReference"].rpartition("#")[2],)
    if _is_backbone(definition):
        return (path,)
    return tuple(dict.fromkeys(_type_name(each) for each in definition["type"]))


def _type_name(each: Resource) -> str:
    code: str = each["code"]
    if not code.startswith(_SYSTEM_TYPE):
        return code
    return next(str(ext["valueUrl"]) for ext in each["extension"] if ext["url"] == _FHIR_TYPE)


def _invariants(definition: Resource, type_name: str) -> tuple[table.Invariant, ...]:
    """The rules that this definition adds: those with another source come with the type of the element."""
    return tuple(
        table.Invariant(each["key"], each["severity"], each["human"], each["expression"])
        for each in definition.get("constraint", [])
        if "expression" in each
        and each.get("source", _FHIR + type_name) == _FHIR + type_name
        and (each["key"] not in _INHERITED or definition["path"] in ("Element", "Extension"))
    )


def _pattern(definitions: Iterable[Resource]) -> str:
    for definition in definitions:
        if definition["path"].endswith(".value"):
            for extension in (ext for each in definition["type"] for ext in each.get("extension", [])):
                if extension["url"] == _REGEX:
                    return str(extension["valueString"])
    return ""


def _search_parameters(resources: Iterable[Resource]) -> Iterator[table.SearchParameter]:
    for each in sorted(resources, key=lambda each: str(each["url"])):
        if not each["url"].startswith("http://hl7.org/fhir/SearchParameter/"):
            continue
        yield table.SearchParameter(
            url=each["url"],
            code=each["code"],
            type=each["type"],
            base=tuple(each.get("base", ())),
            expression=each.get("expression", ""),
            targets=tuple(each.get("target", ())),
            components=tuple(table.Component(part["definition"], part["expression"]) for part in each.get("component", ())),
        )


def _compartments(resources: Iterable[Resource]) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        each["code"]: {entry["code"]: tuple(entry["param"]) for entry in each["resource"] if "param" in entry}
        for each in sorted(resources, key=lambda each: str(each["url"]))
        if each["id"] != "example"
    }


def _operations(resources: Iterable[Resource]) -> Iterator[table.Operation]:
    for each in sorted(resources, key=lambda each: str(each["url"])):
        yield table.Operation(
            url=each["url"],
            code=each["code"],
            affects_state=each.get("affectsState", False),
            system=each["system"],
            type=each["type"],
            instance=each["instance"],
            resources=tuple(each.get("resource", ())),
            parameters=tuple(
                table.OperationParameter(
                    name=part["name"],
                    use=part["use"],
                    min=part["min"],
                    max=None if part["max"] == "*" else int(part["max"]),
                    type=part.get("type", ""),
                )
                for part in each.get("parameter", ())
            ),
        )


def main(arguments: list[str] | None = None) -> int:
    """Write the table; print its size."""
    parser = argparse.ArgumentParser(prog="python -m app.fhir.definitions.build", description="Make the table of R4.")
    parser.add_argument("package", type=Path, help="directory or archive of hl7.fhir.r4.core 4.0.1")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, help="directory for the three files")
    options = parser.parse_args(arguments)
    resources = read_package(options.package)
    for name, raw in files(resources).items():
        path = options.output / name
        path.write_bytes(raw)
        sys.stdout.write(f"{path}: {len(raw)} bytes\n")
    return 0


def files(resources: list[Resource]) -> dict[str, bytes]:
    """The three files by name: the table, the profiles, the terminology."""
    kinds: dict[str, list[Resource]] = {}
    for resource in resources:
        kinds.setdefault(resource["resourceType"], []).append(resource)
    return {
        table.FILE: table.pack(build(resources)),
        published.PROFILES_FILE: published.pack_profiles(kinds.get("StructureDefinition", [])),
        published.TERMINOLOGY_FILE: published.pack_terminology(kinds.get("CodeSystem", []), kinds.get("ValueSet", [])),
    }


if __name__ == "__main__":
    sys.exit(main())
