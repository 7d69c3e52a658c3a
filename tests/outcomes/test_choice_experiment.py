import csv
import io

import numpy as np
import pytest

from app.fhir.errors import Invalid
from app.outcomes import artefact, choice_experiment
from app.outcomes.weights import demonstration

WEIGHTS = demonstration()
TRUE = np.append(WEIGHTS.betas, WEIGHTS.palliation)


def test_weights_are_recovered_within_their_uncertainty() -> None:
    found = choice_experiment.fit(choice_experiment.simulate(WEIGHTS, respondents=4000, tasks=8, seed=5))
    z = (found.betas - TRUE) / np.sqrt(np.diag(found.covariance))
    assert np.abs(z).max() < 4 and 0.5 < np.mean(z**2) < 1.8
    assert found.log_likelihood > found.null_log_likelihood
    assert (found.tasks, found.respondents) == (32_000, 4000)


def test_the_shipped_covariance_can_be_made_again() -> None:
    found = choice_experiment.fit(choice_experiment.simulate(WEIGHTS, respondents=1120, tasks=8, seed=20261123))
    shipped = artefact.document(artefact.shipped("treatment-success-demonstration"))["covariance"]
    np.testing.assert_allclose(np.round((found.covariance + found.covariance.T) / 2, 6), shipped, atol=1.1e-6)


def test_two_alternatives_are_a_logistic_regression_of_the_difference() -> None:
    import statsmodels.api as sm

    choices = choice_experiment.simulate(WEIGHTS, respondents=300, tasks=6, seed=2)
    difference = choices.design[0::2] - choices.design[1::2]
    theirs = sm.Logit(choices.chosen[0::2], difference).fit(disp=0)
    assert choice_experiment.fit(choices).betas == pytest.approx(theirs.params, abs=1e-4)


def written(rows: list[dict[str, object]]) -> io.StringIO:
    out = io.StringIO()
    writer = csv.DictWriter(out, choice_experiment.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    out.seek(0)
    return out


def rows(choices: choice_experiment.Choices) -> list[dict[str, object]]:
    made = []
    first = np.cumsum([0, *choices.levels])[:-1]
    for i, line in enumerate(choices.design):
        levels = [
            next((k + 1 for k in range(top) if line[start + k]), 0) for start, top in zip(first, choices.levels, strict=True)
        ]
        values = [f"r{choices.respondent[i]}", f"t{choices.task[i]}", i % 2, int(choices.chosen[i]), *levels, int(line[-1])]
        made.append(dict(zip(choice_experiment.COLUMNS, values, strict=True)))
    return made


def test_a_file_reads_as_what_was_written() -> None:
    choices = choice_experiment.simulate(WEIGHTS, respondents=60, tasks=4, seed=9)
    read = choice_experiment.read(written(rows(choices)))
    np.testing.assert_array_equal(read.design, choices.design)
    np.testing.assert_array_equal(read.task, choices.task)


def test_broken_files_are_refused_with_the_line() -> None:
    good = rows(choice_experiment.simulate(WEIGHTS, respondents=20, tasks=4, seed=9))
    with pytest.raises(Invalid, match="lacks the column") as caught:
        choice_experiment.read(["respondent,task\n", "1,1\n"])
    assert caught.value.issues[0].line == 1
    with pytest.raises(Invalid, match="whole number") as caught:
        choice_experiment.read(written([good[0], {**good[1], "survival": "long"}]))
    assert caught.value.issues[0].line == 3
    with pytest.raises(Invalid, match="exactly one"):
        choice_experiment.read(written([{**good[0], "chosen": 1}, {**good[1], "chosen": 1}]))
    with pytest.raises(Invalid, match="no rows"):
        choice_experiment.read(written([]))
