"""`make bench`, or `python -m bench http store` for some: runs every module here that has `run(report)` and prints one table."""

import asyncio
import importlib
import inspect
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import bench
from bench.report import Report


def main(wanted: list[str]) -> int:
    """Exit 1 when a module could not run; a missed target is shown, not an error (machines differ)."""
    report, failed = Report(), []
    modules = [importlib.import_module(f"bench.{m.name}") for m in pkgutil.iter_modules(bench.__path__) if m.name != "__main__"]
    found = {module.__name__.partition(".")[2]: getattr(module, "run", None) for module in modules}
    runs = {name: run for name, run in found.items() if run and list(inspect.signature(run).parameters) == ["report"]}
    if unknown := [name for name in wanted if name not in runs]:
        print(f"usage: python -m bench [NAME]...\n\n{__doc__}\n\nNames: {', '.join(runs)}")
        return 0 if set(unknown) <= {"-h", "--help"} else 2
    for name in wanted or runs:
        run = runs[name]
        report.section(name)
        print(f"… {name}", file=sys.stderr, flush=True)
        try:
            outcome = run(report)
            if inspect.isawaitable(outcome):
                asyncio.run(_wait(outcome))
        except Exception as error:  # one broken bench must not hide the others
            failed.append(f"{name}: {type(error).__name__}: {error}")
    _print(report)
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return 1 if failed else 0


async def _wait(outcome: object) -> None:
    await outcome  # type: ignore[misc]


def _print(report: Report) -> None:
    table = Table("", "ours", "yardstick", "ratio", "target")
    for heading, lines in report.sections.items():
        table.add_section()
        table.add_row(f"[bold]{heading}[/bold]")
        for line in lines:
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            target = "" if line.target is None else f"≥ {line.target:.2f}"
            missed = line.ratio is not None and line.target is not None and line.ratio < line.target
            table.add_row(line.what, line.ours, line.yardstick, f"[red]{ratio}[/red]" if missed else ratio, target)
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
