"""Weights from a choice experiment: a conditional logit on the alternatives that people chose between.

Each row of the CSV is one alternative of one question: `respondent,task,alternative,chosen`, the seven attributes as levels from 0 (best), and `palliation`
(1 for the palliative alternative, whose other columns stay empty or 0). McFadden 1974; standard errors are clustered by respondent, because one
person answers several questions.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.fhir.errors import Invalid
from app.outcomes.weights import ATTRIBUTES, WeightSet
from app.statistics.arrays import Floats, Integers

COLUMNS = ("respondent", "task", "alternative", "chosen", *ATTRIBUTES, "palliation")


@dataclass(frozen=True, slots=True)
class Choices:
    """Alternatives (n,): `design` (n, k) with levels above 0 as columns and palliation last; `task` and `respondent` number the groups."""

    design: Floats
    chosen: Floats
    task: Integers
    respondent: Integers
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fitted:
    """`betas` (k,) with palliation last, `covariance` (k, k) clustered by respondent."""

    betas: Floats
    covariance: Floats
    log_likelihood: float
    null_log_likelihood: float
    tasks: int
    respondents: int


def read(lines: Iterable[str]) -> Choices:
    """Choices from CSV. Raises Invalid with the line for a missing column, a level that is no number, or a question without one choice."""
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise Invalid(f"The file lacks the column(s) {', '.join(missing)}.", line=1)
    levels, chosen, names = [], [], []
    for row in reader:
        try:
            levels.append([int(row[name] or 0) for name in (*ATTRIBUTES, "palliation")])
            chosen.append(int(row["chosen"]))
        except (TypeError, ValueError):
            raise Invalid("A level, 'palliation' or 'chosen' is not a whole number.", line=reader.line_num) from None
        if min(levels[-1]) < 0 or chosen[-1] not in (0, 1):
            raise Invalid("Levels count from 0, and 'chosen' is 0 or 1.", line=reader.line_num)
        names.append((row["respondent"], row["task"]))
    if not names:
        raise Invalid("The file has no rows.", line=1)
    respondent = _numbered([who for who, _ in names])
    return _choices(np.array(levels), np.array(chosen, dtype=np.float64), _numbered(names), respondent)


def _numbered(values: list[str] | list[tuple[str, str]]) -> Integers:
    first: dict[object, int] = {}
    return np.array([first.setdefault(value, len(first)) for value in values], dtype=np.int64)


def _choices(levels: Integers, chosen: Floats, task: Integers, respondent: Integers) -> Choices:
    tasks = int(task.max()) + 1
    if np.any(np.bincount(task, chosen, tasks) != 1) or np.any(np.bincount(task, minlength=tasks) < 2):
        raise Invalid("Each question needs at least two alternatives, of which exactly one is chosen.")
    highest = tuple(int(n) for n in levels[:, :-1].max(axis=0))
    if min(highest) < 1:
        raise Invalid("Each attribute must vary, or its weight cannot be known.")
    columns = [(levels[:, i] == level) for i, top in enumerate(highest) for level in range(1, top + 1)]
    return Choices(np.column_stack([*columns, levels[:, -1]]).astype(np.float64), chosen, task, respondent, highest)


def fit(choices: Choices, *, ridge: float = 1e-6) -> Fitted:
    """The weights that make the choices most likely (Newton's method; the log-likelihood is concave). Raises Invalid where there is no maximum."""
    x, tasks = choices.design, int(choices.task.max()) + 1
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p, log_p = _chances(x, beta, choices.task, tasks)
        centred = x - _sums(x * p[:, None], choices.task, tasks)[choices.task]
        information = (centred.T * p) @ centred + ridge * np.eye(len(beta))
        move = np.linalg.solve(information, x.T @ (choices.chosen - p) - ridge * beta)
        beta = beta + move * min(1.0, 2.0 / np.abs(move).max(initial=1e-12))
        if np.abs(move).max() < 1e-9:
            break
    if np.abs(beta).max() > 50:
        raise Invalid("Some level is never or always chosen: its weight has no maximum. Merge levels or gather more answers.")
    score = _sums(x * (choices.chosen - p)[:, None], choices.respondent, int(choices.respondent.max()) + 1)
    bread = np.linalg.inv(information)
    sizes = np.bincount(choices.task)
    return Fitted(
        beta,
        bread @ (score.T @ score) @ bread,
        float(log_p[choices.chosen == 1].sum()),
        -float(np.log(sizes).sum()),
        tasks,
        len(score),
    )


def _chances(x: Floats, beta: Floats, task: Integers, tasks: int) -> tuple[Floats, Floats]:
    utility = x @ beta
    top = np.full(tasks, -np.inf)
    np.maximum.at(top, task, utility)
    utility = utility - top[task]
    log_p = utility - np.log(np.bincount(task, np.exp(utility), tasks))[task]
    return np.exp(log_p), log_p


def _sums(values: Floats, group: Integers, groups: int) -> Floats:
    return np.column_stack([np.bincount(group, column, groups) for column in values.T])


def simulate(weights: WeightSet, *, respondents: int, tasks: int, seed: int) -> Choices:
    """Choices of people who hold exactly these weights: pairs at random levels, the last question against palliation."""
    rng = np.random.default_rng(seed)
    tops = np.array([len(attribute.betas) for attribute in weights.attributes])
    questions = respondents * tasks
    levels = np.zeros((questions * 2, len(tops) + 1), dtype=np.int64)
    levels[:, :-1] = rng.integers(0, tops, (questions * 2, len(tops)))
    palliative = np.arange(tasks - 1, questions, tasks) * 2 + 1
    levels[palliative] = 0
    levels[palliative, -1] = 1
    table = [np.array(attribute.betas) for attribute in weights.attributes]
    utility = sum((table[i][levels[:, i]] for i in range(len(table))), weights.palliation * levels[:, -1])
    drawn = (np.asarray(utility) + rng.gumbel(size=len(levels))).reshape(-1, 2)
    chosen = np.zeros((questions, 2))
    chosen[np.arange(questions), drawn.argmax(axis=1)] = 1
    task = np.repeat(np.arange(questions), 2)
    return _choices(levels, chosen.ravel(), task, task // tasks)
