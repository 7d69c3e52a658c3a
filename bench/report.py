"""What a bench module reports: figures with a unit, and the yardstick each is measured against."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """`ratio` is ours divided by the yardstick, turned so that more is better; `target` is the least that we want."""

    what: str
    ours: str
    yardstick: str = ""
    ratio: float | None = None
    target: float | None = None


@dataclass(slots=True)
class Report:
    """Collects lines under the heading of the module that runs."""

    sections: dict[str, list[Line]] = field(default_factory=dict)
    _heading: str = ""

    def section(self, heading: str) -> None:
        """Start a heading."""
        self._heading = heading
        self.sections.setdefault(heading, [])

    def line(self, what: str, ours: str, yardstick: str = "", ratio: float | None = None, target: float | None = None) -> None:
        """One figure, in words such as `5.3 µs`, `1,920 /s`."""
        self.sections.setdefault(self._heading, []).append(Line(what, ours, yardstick, ratio, target))

    def rate(self, what: str, ours: float, yardstick_name: str, yardstick: float, *, target: float | None = None) -> None:
        """Two rates in events a second, and their ratio."""
        self.line(what, f"{ours:,.0f} /s", f"{yardstick_name}: {yardstick:,.0f} /s", ours / yardstick, target)

    def cost(self, what: str, ours: float, yardstick_name: str, yardstick: float, *, target: float | None = None) -> None:
        """Two costs in seconds, and how many times cheaper ours is."""
        self.line(what, micros(ours), f"{yardstick_name}: {micros(yardstick)}", yardstick / ours, target)


def micros(seconds: float) -> str:
    """`12.3 µs`, `4.5 ms`."""
    return f"{seconds * 1e6:,.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"


def timed(call: Callable[[], object], *, seconds: float = 0.5, rounds: int = 5) -> float:
    """Seconds for one call: the median of `rounds` runs that share `seconds`."""
    call()
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    number = max(1, int(seconds / rounds / once))
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(number):
            call()
        samples.append((time.perf_counter() - start) / number)
    return statistics.median(samples)


async def timed_async(call: Callable[[], Awaitable[object]], *, seconds: float = 0.5, rounds: int = 5) -> float:
    """The same for a coroutine function, called one after another."""
    await call()
    start = time.perf_counter()
    await call()
    once = max(time.perf_counter() - start, 1e-7)
    number = max(1, int(seconds / rounds / once))
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(number):
            await call()
        samples.append((time.perf_counter() - start) / number)
    return statistics.median(samples)
