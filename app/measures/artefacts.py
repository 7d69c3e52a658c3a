"""The measures, libraries and definitions that come with the program, in the store where every client can read them; and the models fitted here."""

from collections.abc import Mapping
from typing import Any

from app import clock
from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import Gone, NotFound
from app.outcomes import case_mix
from app.outcomes.case_mix import Model
from app.security.access import SHARED, SYSTEM, Access
from app.store.protocol import Put, Store

FOLDERS = ("libraries", "measures", "extensions")


def shipped() -> list[dict[str, Any]]:
    """Every resource of this room under `profiles/`."""
    paths = [path for folder in FOLDERS for path in sorted((PROFILES / folder).glob("*.json"))]
    return [
        codec.decode(path.read_bytes()) for path in paths if path.parent.name != "extensions" or path.name.startswith("measure-")
    ]


async def install(store: Store) -> int:
    """Put what ships into the store, shared with all; what is there already with the same content keeps its version. The number."""
    resources = shipped()
    await store.commit(SYSTEM, [Put(each, owners=frozenset({SHARED}), unchanged_ok=True) for each in resources])
    return len(resources)


async def save_model(store: Store, model: Model) -> dict[str, Any]:
    """The model as the current version of its Library; older versions stay in its history. An equal model is not stored again."""
    current = await current_model(store, SYSTEM, case_mix.library_id(model.outcome))
    library = case_mix.to_library(model, day=clock.today().isoformat())
    if current is None or current.version != model.version:
        await store.commit(SYSTEM, [Put(library, owners=frozenset({SHARED}))])
    return library


_decoded: dict[tuple[str, int, int], Model] = {}


async def current_model(store: Store, access: Access, id: str) -> Model | None:
    """The model in force of that Library id, None where none has been fitted. A hospital's or vendor's own Library is none. Raises Invalid for a broken one."""
    try:
        stored = await store.read(access, "Library", id)
    except (NotFound, Gone):
        return None
    if stored.owners - {SHARED}:
        return None
    key = (id, stored.version, stored.updated)
    if key not in _decoded:
        while len(_decoded) >= 64:
            _decoded.pop(next(iter(_decoded)))
        _decoded[key] = case_mix.from_library(stored.resource)
    return _decoded[key]


async def measure_resource(store: Store, access: Access, id: str) -> Mapping[str, Any] | None:
    """A Measure that a user put into the store, None where there is none by that id."""
    try:
        return (await store.read(access, "Measure", id)).resource
    except (NotFound, Gone):
        return None
