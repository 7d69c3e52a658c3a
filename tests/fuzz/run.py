"""Fuzz every door for a while, and keep what breaks one.

    python -m tests.fuzz.run --seconds 3600

Each input comes from `Random(f"{seed}:{number}")`, so that any of them can be made again. What raises anything but our own family, or takes
more than five seconds of processor time, is written to tests/fuzz/cases/, where the test run tries it for ever after.
"""

import argparse
import faulthandler
import hashlib
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.mutate import TOKENS, spoil
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, problem

CASES = Path(__file__).parent / "cases"
SLOW = 5.0  # seconds of processor time
HUNG = 120.0  # seconds of the clock, where not even a signal gets through
_VOCABULARY = {
    "xml": "xml",
    "xml-patch": "xml",
    "fhirpath": "fhirpath",
    "query": "query",
    "er7": "er7",
    "batch": "er7",
    "units": "units",
    "posted": "posted",
}


class Slow(Exception):
    """One input takes too long."""


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise Slow


def _where(error: BaseException) -> str:
    """The last place in our own code: the same fault found twice is one finding."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "/app/" in frame.filename or "/fuzz/" in frame.filename
    ]
    last = frames[-1] if frames else None
    return f"{Path(last.filename).name}:{last.name}:{last.line}" if last else ""


def run(seconds: float, seed: str, only: list[str], examples: Path | None) -> int:
    """How many findings there were."""
    signal.signal(signal.SIGVTALRM, _ring)
    started = time.monotonic()
    material = seeds(examples)
    tried: Counter[str] = Counter()
    found: set[tuple[str, str, str]] = set()
    broken: set[str] = set()
    names = only or list(TARGETS)
    number = 0
    while time.monotonic() - started < seconds:
        number += 1
        random = Random(f"{seed}:{number}")
        name = names[number % len(names)]
        if name in broken:
            continue
        kind = _VOCABULARY.get(name, "json")
        raw = spoil(
            random, material[name], TOKENS[kind] + (TOKENS["fhirpath"] if name == "fhirpath-patch" else []), kind == "json"
        )
        tried[name] += 1
        if number % 500 == 1:
            faulthandler.dump_traceback_later(HUNG, exit=True)
        signal.setitimer(signal.ITIMER_VIRTUAL, SLOW)
        try:
            error = problem(TARGETS[name], raw)
        except Slow as slow:  # while it was on its way out
            error = slow
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if isinstance(error, ImportError):
            broken.add(name)
            print(f"{name}: cannot be tried: {error}", flush=True)
        elif error is not None and (key := (name, type(error).__name__, _where(error))) not in found:
            found.add(key)
            path = CASES / f"{name}-{type(error).__name__.lower()}-{hashlib.sha256(raw).hexdigest()[:8]}.bin"
            path.write_bytes(raw)
            print(f"FOUND {' '.join(key)} at {seed}:{number} -> {path.name}: {str(error)[:200]}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    passed = time.monotonic() - started
    print(f"{passed:.0f} s, {sum(tried.values())} inputs, {len(found)} findings; {dict(tried)}", flush=True)
    return len(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), default=[])
    parser.add_argument("--examples", type=Path, help="a directory of resources in JSON to start from as well")
    given = parser.parse_args()
    sys.exit(1 if run(given.seconds, given.seed, given.only, given.examples) else 0)
