"""A hospital's own page: its outcomes against what was expected for its own children, down to each case.

What must stay true: a hospital's people see their own hospital and get the same answer for another as for one that does not exist; national bodies see
every page, with small numbers withheld; addresses carry codes and random ids only.
"""

from typing import Any

from starlette.routing import BaseRoute, Route

from app.web.hospital.cases import Cases
from app.web.hospital.downloads import Downloads
from app.web.hospital.overview import Overview
from app.web.pages import page


def routes(context: Any) -> list[BaseRoute]:
    """All for signed-in staff: of the hospital in the address, or national."""
    overview, cases, downloads = Overview(context.store), Cases(context.store), Downloads(context.store)
    handlers = {
        "/hospital": overview.choose,
        "/hospital/{ods}": overview.show,
        "/hospital/{ods}/funnel.svg": downloads.funnel,
        "/hospital/{ods}/trend.svg": downloads.trend,
        "/hospital/{ods}/comparison.csv": downloads.comparison,
        "/hospital/{ods}/comparison.csv-metadata.json": downloads.metadata,
        "/hospital/{ods}/cases": cases.listing,
        "/hospital/{ods}/cases.csv": downloads.cases,
        "/hospital/{ods}/case/{id}": cases.one,
    }
    return [Route(path, page(handler, context), methods=["GET"]) for path, handler in handlers.items()]
