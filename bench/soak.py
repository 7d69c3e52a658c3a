"""`make soak`: an hour of mixed load on real server processes on both stores at once, and the slope of their memory.

    python -m bench.soak --minutes 60 --rate 20 --csv soak.csv

Every ten seconds a line for each node goes to the CSV file. At the end the slope of each node's own memory is printed in MB an hour with its
interval, judged over the second half: by then caches are full. Exit 1 where the lower bound of a slope is over the limit, an answer was
not what it should have been, something acknowledged is missing, or a store does not agree with itself.
"""

import argparse
import asyncio
import csv
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import httpx
import numpy as np
from scipy import stats

from app import clock
from app.demo import setting
from app.demo.nation import simulate
from app.store.open import open_store
from bench.mixed_load import MixedLoad
from tests import mongod
from tests.journeys.conftest import Server, csor, launch

EVERY = 10.0  # seconds between samples
BLOCKS = (
    10  # neighbours in time resemble each other, and a password's hash takes 64 MB for a moment: each block counts by its median
)
CASE = 2_750  # bytes: what a case takes in the columns of the four measures, by tracemalloc over the demonstration's 1,650 cases
LIMIT = 5.0  # MB an hour: a node that is started anew each month then needs at most 4 GB more
YOUNG = 1000  # children of the simulated nation a year, of whom the load admits a few


@dataclass(frozen=True, slots=True)
class Sample:
    """One node at one moment. Sizes in MB; `own` is memory that the process has made itself; `wait_95` in milliseconds."""

    seconds: float
    node: str
    rss: float
    own: float
    files: int
    threads: int
    answers: int
    wrong: int
    wait_50: float
    wait_95: float
    feed: int
    lag: int
    cases: int
    store: float
    journal: float


class Site:
    """A store with its nodes, and the load on them."""

    def __init__(self, name: str, url: str, nodes: Sequence[Server], load: MixedLoad, token: str, directory: Path) -> None:
        self.name, self.url, self.nodes, self.load = name, url, nodes, load
        self._headers = {"authorization": f"Bearer {token}"}
        self._directory = directory

    async def sample(self, since: float) -> list[Sample]:
        head, lag = await self.feed()
        cases = await self._cases()
        waits = [1e3 * wait for wait in self.load.waits] or [0.0]
        size, journal = _sizes(self._directory)
        shared = (
            sum(self.load.answers.values()),
            sum(self.load.wrong.values()),
            *np.percentile(waits, (50, 95)),
            head,
            lag,
            cases,
        )
        return [
            Sample(time.monotonic() - since, f"{self.name}{n}", *_memory(node.process.pid), *shared, size, journal)
            for n, node in enumerate(self.nodes, 1)
        ]

    async def feed(self) -> tuple[int, int]:
        """The last number of the change feed, and how far the slowest consumer is behind."""
        async with httpx.AsyncClient(base_url=self.nodes[0].base, headers=self._headers, timeout=60) as client:
            feed = (await client.get("/health/detail")).json()["feed"]
        return feed["head"], feed["head"] - min((cursor["seq"] for cursor in feed["consumers"].values()), default=0)

    async def _cases(self) -> int:
        async with httpx.AsyncClient(base_url=self.nodes[0].base, headers=self._headers, timeout=60) as client:
            return int((await client.get("/fhir/EpisodeOfCare?_summary=count")).json()["total"])

    async def settled(self) -> bool:
        """Whether the consumers come to the end of the feed within a minute."""
        for _ in range(60):
            if (await self.feed())[1] == 0:
                return True
            await asyncio.sleep(1)
        return False


def slope(hours: Sequence[float], megabytes: Sequence[float]) -> tuple[float, float, float]:
    """(estimate, low, high) of a straight line in MB/h, 95 %, by least squares on the medians of `BLOCKS` blocks in time."""
    x, y = (np.array([np.median(part) for part in np.array_split(np.asarray(each), BLOCKS)]) for each in (hours, megabytes))
    line = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, BLOCKS - 2)) * line.stderr
    return float(line.slope), float(line.slope - half), float(line.slope + half)


async def run(minutes: float, rate: float, limit: float, target: Path, wanted: Sequence[str]) -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory(prefix="csor-soak-") as root:
        replica_set = mongod.ReplicaSet(Path(root) / "mongod")
        sites: list[Site] = []
        try:
            if "sqlite" in wanted:
                sites.append(await _site("sqlite", f"sqlite:///{root}/sqlite/csor.db", Path(root) / "sqlite", nodes=1))
            if "mongodb" in wanted:
                await asyncio.to_thread(replica_set.start)
                sites.append(await _site("mongodb", replica_set.url, Path(root) / "mongod", nodes=2))
            samples = await _soak(sites, 60 * minutes, rate, target)
            failed = [await _verdict(site, samples, limit) for site in sites]
            for site in sites:
                codes = [await asyncio.to_thread(node.stop) for node in site.nodes]
                checked = await asyncio.to_thread(csor, "check", "--store", site.url, timeout=3600)
                _say(f"{site.name}: nodes ended with {codes}; csor check: {checked.stdout.strip().splitlines()[-1:]}")
                failed.append(any(codes) or checked.returncode != 0)
            return int(any(failed))
        finally:
            for node in (node for site in sites for node in site.nodes):
                if node.process.poll() is None:
                    node.kill()
            replica_set.stop()


async def _site(name: str, url: str, directory: Path, nodes: int) -> Site:
    directory.mkdir(parents=True, exist_ok=True)
    cast = setting.Cast(1, clock.today().isoformat())
    nation = simulate(clock.today(), seed=cast.seed, per_year=YOUNG, years=2)
    store = open_store(url)
    await store.open()
    await setting.prepare(store, nation, cast)
    await store.close()
    servers = [
        await asyncio.to_thread(launch, directory / f"node{n}", "--store", url, sandbox=False, env={"CSOR_LOG_LEVEL": "error"})
        for n in range(nodes)
    ]
    load = MixedLoad([s.base for s in servers], [s.mllp for s in servers if s.mllp], cast, nation)
    site = Site(name, url, servers, load, cast.tokens["national"], directory)
    await load.prepare()
    if name == "sqlite":  # its page caches are the process's own memory, and otherwise grow with the store for hours
        await load.fill()
    _say(f"{name}: prepared; wrong answers: {dict(load.wrong)}")
    return site


async def _soak(sites: Sequence[Site], seconds: float, rate: float, target: Path) -> list[Sample]:
    samples: list[Sample] = []
    since = time.monotonic()
    work = asyncio.gather(*(site.load.run(seconds, rate) for site in sites))
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        while not work.done():
            for site in sites:
                for sample in await site.sample(since):
                    samples.append(sample)
                    writer.writerow({k: round(v, 2) if isinstance(v, float) else v for k, v in asdict(sample).items()})
            file.flush()
            await asyncio.wait((work,), timeout=EVERY)
    await work
    return samples


async def _verdict(site: Site, samples: Sequence[Sample], limit: float) -> bool:
    """Prints what was seen of a store; whether anything is wrong."""
    failed = False
    load = site.load
    _say(
        f"\n{site.name}: {sum(load.answers.values())} requests, {load.left_out} left out, wrong answers: {dict(load.wrong) or 'none'}"
    )
    settled, lost = await site.settled(), await load.lost()
    _say(f"  feed: {'consumers came to its end' if settled else 'consumers did not come to its end'}; lost: {lost or 'nothing'}")
    failed |= bool(load.wrong) or bool(lost) or not settled
    mine = [s for s in samples if s.node.startswith(site.name)]
    late_cases = [s for s in mine if s.seconds >= mine[-1].seconds / 2]
    more, hours = late_cases[-1].cases - late_cases[0].cases, (late_cases[-1].seconds - late_cases[0].seconds) / 3600
    if hours:
        rate = more / hours
        _say(f"  {rate:.0f} new cases an hour: {rate * CASE / 1e6:.1f} MB/h of a node's memory, if it is asked for every measure")
    for name in sorted({s.node for s in mine}):
        own = [s for s in mine if s.node == name]
        late = own[len(own) // 2 :]
        if len(late) < 2 * BLOCKS:
            _say(f"  {name}: too short a run for a slope")
            continue
        estimate, low, high = slope([s.seconds / 3600 for s in late], [s.own for s in late])
        early, last = own[len(own) // 4 : len(own) // 2], own[-1]
        _say(
            f"  {name}: {estimate:+.2f} MB/h (95 %: {low:+.2f} to {high:+.2f}); own memory {own[0].own:.0f} MB at first, "
            f"{late[0].own:.0f} half-way, {last.own:.0f} at the end; files {last.files}, threads {last.threads}, "
            f"journal {max(s.journal for s in own):.0f} MB at most, lag {max(s.lag for s in late)} at most"
        )
        grown = [
            what
            for what in ("files", "threads")
            if max(getattr(s, what) for s in late) > max(getattr(s, what) for s in early) + 8
        ]
        if low > limit:
            grown.append("memory")
        if grown:
            _say(f"  {name}: {', '.join(grown)} grew")
            failed = True
    return failed


def _memory(pid: int) -> tuple[float, float, int, int]:
    """RSS and own memory in MB, open files, threads."""
    rolled = dict(_pairs(f"/proc/{pid}/smaps_rollup"))
    # (Not what is private: pages of the program become that when a neighbour ends.)
    return (
        rolled["Rss"] / 1024,
        rolled["Anonymous"] / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        len(os.listdir(f"/proc/{pid}/task")),
    )


def _pairs(path: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in Path(path).read_text().splitlines()[1:]]
    return [(words[0].rstrip(":"), int(words[1])) for words in lines]


def _sizes(directory: Path) -> tuple[float, float]:
    """MB of the store's files, and of the journals among them."""
    sizes = {}
    for path in directory.rglob("*"):
        try:
            sizes[path] = path.stat().st_size
        except FileNotFoundError:  # a file of the moment
            continue
    journal = sum(size for path, size in sizes.items() if path.name.endswith("-wal") or path.parent.name == "journal")
    return sum(sizes.values()) / 2**20, journal / 2**20


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="A long mixed load, and whether memory stays flat.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20, help="requests a second on each store")
    parser.add_argument("--limit", type=float, default=LIMIT, help="MB an hour that the lower bound of a slope may reach")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    parser.add_argument("--stores", nargs="+", choices=("sqlite", "mongodb"), default=["sqlite", "mongodb"])
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    return asyncio.run(run(given.minutes, given.rate, given.limit, given.csv, given.stores))


if __name__ == "__main__":
    sys.exit(main())
