"""Cases made by hand, and a nation of them with a known cause of every outcome."""

from datetime import date, timedelta
from typing import Any

import numpy as np

from app.names import CONDITIONS
from app.outcomes.case_facts import CaseFacts, Factors, Infection, Operation


def case(**changes: Any) -> CaseFacts:
    """A child who came through well: one planned major operation, best quality of life, a year on."""
    facts: dict[str, Any] = {
        "case": "c1",
        "patient": "p1",
        "hospital": "ZA1",
        "condition": "gastroschisis",
        "sex": "female",
        "birth_date": "2023-01-01",
        "index_date": "2023-01-02",
        "as_of": "2024-01-02",
        "horizon_reached": True,
        "operations": (Operation("2023-01-02", "major-planned", "operative-record"),),
        "quality_of_life": 0,
    }
    return CaseFacts(**{**facts, **changes})


def operations(*kinds: str) -> tuple[Operation, ...]:
    """One a week from the index day."""
    first = date(2023, 1, 2)
    return tuple(Operation((first + timedelta(days=7 * i)).isoformat(), kind, "fhir") for i, kind in enumerate(kinds))  # type: ignore[arg-type]


def infections(count: int) -> tuple[Infection, ...]:
    """One a month."""
    return tuple(Infection(f"2023-{month:02d}-03", "A419", "hes") for month in range(2, 2 + count))


def nation(
    cases_each: int = 160, *, hospitals: int = 10, seed: int = 1, shift: dict[int, float] | None = None, known: float = 1.0
) -> list[CaseFacts]:
    """Cases whose poor outcomes follow severity and the hospital's own `shift` in log-odds of harm, and nothing else."""
    rng = np.random.default_rng(seed)
    made = []
    for hospital in range(hospitals):
        for number in range(cases_each):
            condition = CONDITIONS[int(rng.integers(len(CONDITIONS)))]
            grade = int(rng.choice(3, p=[0.6, 0.25, 0.15]))
            cardiac = bool(rng.random() < 0.1)
            weeks = float(np.clip(rng.normal(36.5, 3), 24, 42))
            harm = -1.9 + 0.9 * grade + 0.9 * cardiac + 0.08 * (37 - weeks) + (shift or {}).get(hospital, 0.0)
            poor = rng.random() < 1 / (1 + np.exp(-harm))
            index = date(2022, 1, 1) + timedelta(days=int(rng.integers(0, 700)))
            died = (index + timedelta(days=int(rng.integers(1, 300)))).isoformat() if poor and rng.random() < 0.3 else None
            answered = died is None and rng.random() < known
            made.append(
                case(
                    case=f"case-{hospital:02d}-{number:05d}",
                    patient=f"child-{hospital:02d}-{number:05d}",
                    hospital=f"ZA{hospital}",
                    condition=condition,
                    birth_date=index.isoformat(),
                    index_date=index.isoformat(),
                    as_of=died or (index + timedelta(days=365)).isoformat(),
                    operations=(Operation(index.isoformat(), "major-planned", "fhir"),),
                    factors=Factors(
                        gestation_weeks=round(weeks, 1) if rng.random() < 0.95 else None,
                        birth_weight_g=float(round(600 + 70 * (weeks - 22) + rng.normal(0, 200))),
                        major_cardiac_anomaly=cardiac,
                        chromosomal_anomaly=False,
                        other_anomaly=None if rng.random() < 0.1 else False,
                        severity_grade=grade,
                    ),
                    quality_of_life=(3 if poor else 0) if answered else None,
                    died_on=died,
                )
            )
    return made
