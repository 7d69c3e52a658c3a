"""Log lines carry the permitted keys and nothing else."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from app import logs


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """The logger holds the stream that it was configured with: the next test must not get this one's."""
    yield
    structlog.reset_defaults()


def test_what_is_not_permitted_never_reaches_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    logs.logger().info(
        "stored", type="Patient", ms=3, name="Wren Rowan", nhs_number="9990000018", body={"birthDate": "2024-03-27"}
    )
    line = json.loads(capsys.readouterr().err)
    assert set(line) == {"event", "level", "timestamp", "type", "ms"}


def test_an_exception_is_its_type_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    try:
        raise ValueError("born 2024-03-27")
    except ValueError as error:
        logs.logger().error("failed", exc_type=type(error).__name__, exc_info=True)
    assert "2024-03-27" not in capsys.readouterr().err


def test_a_line_goes_to_the_stderr_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", first)
    logs.configure()
    logs.logger().info("one")
    monkeypatch.setattr("sys.stderr", second)
    first.close()
    logs.logger().info("two")
    assert '"event": "two"' in second.getvalue()
