"""Settings come from options, the environment and files, in this order; what is wrong is told in a sentence that holds no secret."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.settings import Settings

URL = "mongodb://csor:hunter2@a,b,c/csor?replicaSet=rs0"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CSOR_SECRETS", str(tmp_path))
    return tmp_path


def test_a_file_holds_what_the_environment_would(secrets: Path) -> None:
    (secrets / "csor_store").write_text(f"{URL}\n")
    (secrets / "csor_smtp_url").write_text("smtp://post:hunter3@mail:25")
    settings = Settings()
    assert settings.store_url == URL and settings.smtp_url == "smtp://post:hunter3@mail:25"
    assert "hunter" not in repr(settings)


def test_the_environment_comes_before_files_and_options_before_it(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "csor_log_level").write_text("error")
    assert Settings().log_level == "error"
    monkeypatch.setenv("CSOR_LOG_LEVEL", "warning")
    assert Settings().log_level == "warning"
    assert Settings(log_level="debug").log_level == "debug"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CSOR_SECRETS": "/not/there"}, "CSOR_SECRETS: the directory /not/there is not there."),
        ({"CSOR_MLLP_KEY": "key.pem"}, "CSOR_MLLP_CERTIFICATE and CSOR_MLLP_KEY go together."),
        ({"CSOR_MLLP_CLIENT_AUTHORITIES": "ca.pem"}, "needs CSOR_MLLP_CERTIFICATE"),
        ({"CSOR_PORT": "http"}, "CSOR_PORT: Input should be a valid integer"),
        ({"CSOR_BASE_URL": "csor.example.org"}, "CSOR_BASE_URL: must begin with http"),
    ],
)
def test_what_is_wrong_is_told(variables: dict[str, str], sentence: str) -> None:
    said = CliRunner(env=variables).invoke(cli, ["health"])
    assert said.exit_code == 2 and sentence in said.output, said.output


@pytest.mark.parametrize(
    "url",
    ["smtp:u:hunter2@host", "smtp://u:hunter2@host:abc", "http://u:hunter2@host", "smtp://u:hunter#2@host", "smtp://u:hunter[2@host",
     "smtp://", "smtp://u:hunter2@", "smtp://u:1/hunter2@host"],
)  # fmt: skip
def test_a_mail_server_is_refused_without_showing_its_password(url: str) -> None:
    said = CliRunner(env={"CSOR_SMTP_URL": url}).invoke(cli, ["health"])
    assert said.exit_code == 2 and "CSOR_SMTP_URL: must look like smtp://user:password@host:port" in said.output
    assert "hunter" not in said.output


def test_health_says_when_nobody_answers() -> None:
    said = CliRunner(env={"CSOR_PORT": "1"}).invoke(cli, ["health"])
    assert said.exit_code == 1 and "No server answers on 127.0.0.1:1." in said.output


def leaves(command: click.Command, name: str = "csor") -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, with their names."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}")


def test_every_command_finds_its_store_by_the_same_rules(secrets: Path) -> None:
    """A command that looked in ./data while the server works on a replica set would register a sender that nobody knows."""
    reading = [name for name, command in leaves(cli) if any(option.name == "store" for option in command.params)]
    assert {"csor hl7 sender add", "csor hes import", "csor measure run", "csor client add", "csor backup", "csor load"} <= set(
        reading
    )
    (secrets / "csor_store").write_text("nonsense://")
    for arguments in (["hl7", "sender", "list"], ["hes", "errors"], ["measure", "fit"], ["client", "list"], ["check"]):
        said = CliRunner().invoke(cli, arguments)
        assert said.exit_code != 0 and "begin with 'nonsense'" in f"{said.output} {said.exception}", arguments
