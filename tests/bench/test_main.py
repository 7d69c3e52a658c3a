import pytest

from bench.__main__ import main


@pytest.mark.parametrize(("asked", "code"), [("--help", 0), ("nothing-like-it", 2)])
def test_what_is_no_bench_gets_the_names(asked: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([asked]) == code
    assert "Names: " in (told := capsys.readouterr().out) and "mllp" in told and "soak" not in told.partition("Names: ")[2]
