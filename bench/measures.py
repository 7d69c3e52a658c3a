"""Evaluating a measure: 100,000 cases at ten hospitals over six conditions, with score, expected, exact tails, interval and suppression.

The yardstick is a plain Python loop that only counts: hospital by condition, numerator and denominator, over the same cases as dicts.
"""

from collections import Counter
from datetime import date

import msgspec
import numpy as np

from app.measures.columns import Columns, Flags, columns_of, row_of
from app.measures.definition import POPULATIONS, shipped
from app.measures.evaluate import summarise
from app.measures.period import period
from app.measures.rules import rules
from app.measures.tally import tally
from app.names import CONDITIONS
from app.outcomes import case_mix
from app.outcomes.case_facts import CaseFacts, Factors, Operation
from app.outcomes.case_mix import Model, Performance
from app.outcomes.score import score_many
from app.outcomes.weights import demonstration
from app.security.access import PUBLIC
from bench.report import Report, timed

CASES, HOSPITALS = 100_000, 10
SPAN = period("2020", "2024")
TODAY = date(2026, 1, 1)


def _columns(rng: np.random.Generator) -> tuple[Columns, Flags]:
    specification = case_mix.demonstration()
    size = len(case_mix.factor_names(specification))
    design = (rng.random((CASES, size)) < 0.2).astype(np.float64)
    design[:, 0] = 1.0
    member = {code: np.ones(CASES, dtype=bool) for code in POPULATIONS}
    member["denominator-exclusion"] = np.zeros(CASES, dtype=bool)
    member["numerator"] = rng.random(CASES) < 0.75
    member["denominator-exception"] = rng.random(CASES) < 0.15
    day = rng.integers(SPAN.start.toordinal(), SPAN.end.toordinal(), CASES)
    names = tuple(f"ZA{number}" for number in range(HOSPITALS))
    columns = Columns((), names, rng.integers(0, HOSPITALS, CASES), day, score_many([], demonstration()), design, TODAY)
    return columns, Flags(member, tuple(sorted(CONDITIONS)), rng.integers(0, 6, CASES))


def _model() -> Model:
    specification = case_mix.demonstration()
    names, unknown = case_mix.factor_names(specification), Performance(None, None, None, None, None)
    coefficients = [1.6, *np.linspace(-0.5, 0.3, len(names) - 1)]
    return Model("x|1", "bench", specification, names, coefficients, np.eye(len(names)).tolist(), 1, 1, "", unknown, unknown)


def _facts(number: int) -> CaseFacts:
    done = tuple(Operation(f"2023-0{month}-02", "major-planned", "fhir") for month in (1, 2, 3))
    child = Factors(gestation_weeks=36.5, birth_weight_g=2400, severity_grade=1)
    dates = {"birth_date": "2023-01-01", "index_date": "2023-01-02", "as_of": "2024-01-02"}
    names = {
        "case": f"c{number}",
        "patient": f"p{number}",
        "hospital": f"ZA{number % 10}",
        "condition": CONDITIONS[number % 6],
        "sex": "male",
    }
    return CaseFacts(**names, **dates, horizon_reached=True, factors=child, operations=done, quality_of_life=number % 4)


def run(report: Report) -> None:
    """Evaluation, and the making of columns."""
    columns, flags = _columns(np.random.default_rng(1))
    definition, model = shipped("treatment-success"), _model()
    rows = [
        {"hospital": int(h), "condition": c, "numerator": bool(n), "unknown": bool(e)}
        for h, c, n, e in zip(
            columns.hospital,
            np.array(flags.strata)[flags.stratum],
            flags.member["numerator"],
            flags.member["denominator-exception"],
            strict=True,
        )
    ]

    def one() -> object:
        return summarise(tally(columns, flags, definition, SPAN, model, rules()), SPAN, PUBLIC, 3)

    def every() -> object:
        counted = tally(columns, flags, definition, SPAN, model, rules())
        return [summarise(counted, SPAN, PUBLIC, number) for number in range(HOSPITALS)]

    def plain() -> object:
        counts: Counter[tuple[int, str, str]] = Counter()
        for row in rows:
            if row["numerator"] or not row["unknown"]:
                counts[row["hospital"], row["condition"], "denominator"] += 1
                counts[row["hospital"], row["condition"], "numerator"] += row["numerator"]
        return counts

    yardstick = timed(plain, rounds=3)
    report.rate(
        "one hospital's report, stratified, of 100,000 cases", CASES / timed(one, rounds=3), "plain count", CASES / yardstick
    )
    cost = timed(every, rounds=3)
    report.rate("all ten hospitals' reports, stratified", CASES / cost, "plain count", CASES / yardstick)

    facts = [_facts(number) for number in range(1000)]
    raw = [msgspec.json.encode(each) for each in facts]
    decoder = msgspec.json.Decoder(CaseFacts)
    decode = timed(lambda: [decoder.decode(each) for each in raw]) / 1000
    made = columns_of(facts, TODAY)
    report.cost("a case's score and factors", timed(lambda: columns_of(facts, TODAY)) / 1000, "decode of its facts", decode)
    criteria = timed(lambda: [row_of(made, number, definition) for number in range(200)]) / 200
    report.cost("a case through a measure's FHIRPath criteria", criteria, "decode of its facts", decode)
    report.cost(
        "fit of a case-mix model, 2,000 cases, ten folds",
        timed(_fit, rounds=2),
        "one unpenalised fit by numpy",
        timed(_newton, rounds=2),
    )


RNG = np.random.default_rng(2)
X = np.column_stack([np.ones(2000), (RNG.random((2000, 28)) < 0.3).astype(np.float64)])
Y = (RNG.random(2000) < 0.75).astype(np.int64)


def _fit() -> object:
    specification = case_mix.demonstration()
    matrix = X[:, : len(case_mix.factor_names(specification))]
    keys, days = [f"c{n:05d}" for n in range(2000)], ["2023-01-01"] * 2000
    return case_mix.fit(matrix, Y, keys, days, outcome="x|1", specification=specification)


def _newton() -> object:
    beta = np.zeros(X.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-X @ beta))
        beta = beta + np.linalg.solve((X.T * (p * (1 - p))) @ X, X.T @ (Y - p))
    return beta
