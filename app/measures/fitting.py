"""Fit the case-mix models from the store: one for each measure that is adjusted, on all cases whose outcome is known."""

from datetime import date

import numpy as np

from app.fhir.errors import BusinessRule
from app.measures import artefacts
from app.measures.definition import shipped_ids
from app.measures.evaluate import count
from app.measures.period import Period
from app.outcomes import case_mix
from app.outcomes.case_mix import Model
from app.security.access import SYSTEM
from app.store.protocol import Store

ALWAYS = Period(date(1900, 1, 1), date(2999, 12, 31))


async def fit(store: Store, measure: str, period: Period = ALWAYS, *, save: bool = True) -> Model:
    """The model of a measure's numerator, fitted on the period and (by default) put in force. Raises BusinessRule for too few cases."""
    counted = await count(store, SYSTEM, measure, period)
    rows = np.flatnonzero(counted.scored)
    facts = [counted.columns.facts[int(row)] for row in rows]
    model = case_mix.fit(
        counted.columns.design[rows],
        counted.members["numerator"][rows].astype(np.int64),
        [each.case for each in facts],
        [each.index_date for each in facts],
        outcome=counted.definition.canonical,
        specification=case_mix.demonstration(),
    )
    if save:
        await artefacts.save_model(store, model)
    return model


async def fit_all(store: Store, period: Period = ALWAYS, *, save: bool = True) -> tuple[list[Model], dict[str, str]]:
    """A model for every measure that ships, and by measure why one could not be fitted (rare outcomes in a young registry)."""
    models, refused = [], {}
    for measure in shipped_ids():
        try:
            models.append(await fit(store, measure, period, save=save))
        except BusinessRule as error:
            refused[measure] = str(error)
    return models, refused
