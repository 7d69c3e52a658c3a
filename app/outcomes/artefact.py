"""Versioned artefacts: FHIR `Library` resources whose content is one JSON document.

What must stay true: a Library that is `experimental` or not declared otherwise is called a demonstration wherever its name is shown; a number that came
from an artefact carries its canonical `url|version`; loading checks the document before anything is computed with it.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import Invalid, NotFound

JSON = "application/json"


def shipped(name: str) -> dict[str, Any]:
    """The Library that comes with the program under `profiles/libraries/`. Raises NotFound."""
    path = PROFILES / "libraries" / f"{name}.json"
    if not path.is_file():
        raise NotFound(f"There is no library '{name}' in {path.parent.name}/.")
    return codec.decode(path.read_bytes())


def document(library: Mapping[str, Any]) -> Any:
    """The JSON document in `content`, decoded with plain floats. Raises Invalid with the place."""
    for index, content in enumerate(library.get("content") or []):
        if content.get("contentType") == JSON and "data" in content:
            where = f"Library.content[{index}].data"
            try:
                return msgspec.json.decode(base64.b64decode(content["data"], validate=True))
            except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Invalid(f"The library's document is not base64 of JSON: {error}.", expression=where) from error
    raise Invalid(f"The library '{library.get('name')}' has no content of type {JSON}.", expression="Library.content")


def typed(library: Mapping[str, Any], shape: type[Any]) -> Any:
    """The document as a msgspec `shape`. Raises Invalid that names what does not fit."""
    try:
        return msgspec.convert(document(library), shape, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"The library '{library.get('name')}' does not fit: {error}.", expression="Library.content[0].data"
        ) from error


def packed(library: Mapping[str, Any], content: Any) -> dict[str, Any]:
    """The same Library with `content` as its one document."""
    raw = msgspec.json.encode(content)
    return {**library, "content": [{"contentType": JSON, "data": base64.b64encode(raw).decode("ascii")}]}


def canonical(library: Mapping[str, Any]) -> str:
    """`url|version`, the name that results carry."""
    return f"{library['url']}|{library['version']}"
