"""The commands, on a store in a file."""

import asyncio
import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.commands.measure import measure
from app.outcomes import choice_experiment
from app.outcomes.weights import demonstration
from app.security.access import SYSTEM
from app.store import open_store
from tests.measures.conftest import put, small_nation
from tests.outcomes.test_choice_experiment import rows as choice_rows
from tests.outcomes.test_choice_experiment import written


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def fill() -> None:
        store = open_store(f"sqlite:///{tmp_path / 'csor.db'}")
        await store.open()
        await put(store, small_nation())
        await store.close()

    asyncio.run(fill())
    return tmp_path


def called(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(measure, [str(each) for each in arguments])


def test_fit_then_run_prints_each_hospital_and_writes_the_csv(data: Path) -> None:
    done = called("fit", "--data", data)
    assert done.exit_code == 0, done.output
    assert "case-mix-treatment-success" in done.output and "infection: A case-mix model needs" in done.output
    assert "case-mix-survival-to-one-year hardly tells children apart" in done.output
    path = data / "out.csv"
    done = called("run", "--period", "2022-01-01", "2024-12-31", "--data", data, "--csv", path, "--keep")
    assert done.exit_code == 0, done.output
    assert all(f"ZA{n}" in done.output for n in range(10)) and "fewer good outcomes than expected" in done.output
    assert "21 reports are new, changed or deleted" in done.output
    assert "Treatment success weights (demonstration)" in done.output and "Library/case-mix-treatment-success|" in done.output
    with path.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 70
    assert (data / "out.csv-metadata.json").is_file()
    assert "0 reports" in called("run", "--period", "2022", "2024", "--data", data, "--keep").output

    async def kept() -> int:
        store = open_store(f"sqlite:///{data / 'csor.db'}")
        await store.open()
        found = (await store.counts(SYSTEM))["MeasureReport"]
        await store.close()
        return found

    assert asyncio.run(kept()) == 21


def test_published_figures_hide_small_numbers(data: Path) -> None:
    path = data / "out.csv"
    assert called("run", "--period", "2022", "2024", "--data", data, "--published", "--csv", path).exit_code == 0
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            numbers = [int(line[name]) for name in ("numerator", "denominator") if line[name]]
            assert not any(1 <= number <= 7 for number in numbers)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--period", "2024", "2022"), "lies before"),
        (("run", "--period", "then", "now"), "is no date"),
        (("run", "--period", "2022", "2024", "--measure", "beauty"), "There is no measure 'beauty'"),
        (("fit", "--measure", "infection"), "at least 50 cases"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(data: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = called(*arguments, "--data", data)
    assert done.exit_code == 1 and sentence in done.output and "Traceback" not in done.output


def test_a_missing_store_is_not_made(tmp_path: Path) -> None:
    done = called("fit", "--data", tmp_path / "none")
    assert done.exit_code == 1 and "There is no store" in done.output and not (tmp_path / "none").exists()


def test_weights_from_choices(tmp_path: Path) -> None:
    path = tmp_path / "choices.csv"
    choices = choice_experiment.simulate(demonstration(), respondents=150, tasks=6, seed=4)
    path.write_text(written(choice_rows(choices)).read())
    done = called("fit-weights", path)
    assert done.exit_code == 0, done.output
    assert "150 respondents, 900 questions" in done.output and "palliation" in done.output
    path.write_text("respondent,task\n")
    done = called("fit-weights", path)
    assert done.exit_code == 1 and "lacks the column" in done.output


def test_an_artefact_can_be_unpacked_changed_and_packed(tmp_path: Path) -> None:
    from app.content import PROFILES
    from app.fhir import codec
    from app.outcomes import artefact

    source = PROFILES / "libraries" / "quality-of-life-demonstration.json"
    document = tmp_path / "document.json"
    document.write_text(called("unpack", source).output)
    assert "worst_of" in document.read_text()
    document.write_text(document.read_text().replace("[2, 6, 10, 15]", "[1, 6, 10, 15]").replace("2,\n", "1,\n", 1))
    packed = codec.decode(called("pack", source, document).output.encode())
    assert artefact.document(packed)["instruments"][0]["worst_of"] == [1, 6, 10, 15]
    (tmp_path / "broken.json").write_text("{")
    assert called("pack", source, tmp_path / "broken.json").exit_code == 1
