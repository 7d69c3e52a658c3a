"""Who may open a hospital's page, and what its pages have in common."""

from starlette.requests import Request

from app.fhir.errors import Forbidden, NotFound
from app.measures.definition import shipped_ids
from app.measures.drill import CaseLine
from app.measures.table import hospital_names
from app.security.access import Access
from app.store.protocol import Store
from app.web.figures import MAIN, cabinet
from app.web.pages import access_of
from app.web.words import WORDINGS

NO_HOSPITAL = "There is no such hospital, or it is not yours."


def staff(request: Request) -> Access:
    """The reader, if a person of a hospital or a national body. Raises Forbidden for clients of the interface and for parents."""
    access = access_of(request)
    if access.role not in ("hospital", "national") or access.scopes:
        raise Forbidden("This page is for staff of hospitals and national bodies.")
    return access


def hospital_of(request: Request) -> tuple[Access, str]:
    """The reader and the ODS code in the address. Raises Forbidden, and NotFound for another's hospital."""
    access, ods = staff(request), str(request.path_params["ods"])
    if not access.everything and ods not in (access.hospitals or ()):
        raise NotFound(NO_HOSPITAL)
    return access, ods


def measure_of(request: Request) -> str:
    """The measure that the address asks for. Raises NotFound."""
    measure = request.query_params.get("measure", MAIN)
    if measure not in shipped_ids() or measure not in WORDINGS:
        raise NotFound("There is no page for this measure.")
    return measure


async def name_of(store: Store, ods: str) -> str:
    """The hospital's name, its code where it has none."""
    return (await hospital_names(store, [ods]))[ods]


def switch(path: str, measure: str) -> list[tuple[str, str, bool]]:
    """Links to the same page for every measure: title, address, whether it is this one."""
    return [(words.title, f"{path}?measure={id}", id == measure) for id, words in WORDINGS.items()]


async def cases_of(store: Store, access: Access, measure: str, ods: str) -> list[CaseLine]:
    """The cases of a hospital that `hospital_of` let through: none yet is none, not an error. Raises NotFound where there is no such hospital."""
    try:
        return await cabinet(store).cases(access, measure, ods)
    except NotFound:
        if access.everything:
            raise
        return []
