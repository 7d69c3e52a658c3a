"""The national scale, measured: 100,000 children in MongoDB, how large they are, and how each query of the day's work goes.

    python -m bench.national                  plays a nation, grows it, measures, writes docs/explanation/national-scale.json and the page's tables
    python -m bench.national --page           only writes the tables of the page from the figures that are there

`tests/docs/test_national_scale.py` holds the page to the figures. Takes a quarter of an hour and 20 GB of disk, most of it waiting for MongoDB.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qsl

from pymongo import MongoClient

from app import names
from app.fhir import codec
from app.fhir.search.query import parse
from app.security.access import SYSTEM, Access
from app.store.mongo import history
from app.store.mongo.feed import Feed
from app.store.mongo.records import find, where
from app.store.mongo.schema import INDEXES
from app.store.mongo.search import Search
from app.store.mongo.store import MongoStore
from app.store.protocol import Put
from bench.nation_of import grow
from tests import mongod
from tests.store.mongo.test_query_plans import stages, watched

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "national-scale.md"
FIGURES = PAGE.with_suffix(".json")
GROWN = ("resource", "version", "record")
HOSPITAL = Access("hospital", "vendor", frozenset({"ZAA"}))
ROUNDS = 15
YEARS = (1, 5, 10)
SCENARIOS = (550, 5_500, 55_000)  # children a year: the six conditions, then ten and a hundred times as many

Document = dict[str, Any]
Call = Callable[[Any], Awaitable[Any]]  # takes a database


def workload(sample: Document) -> dict[str, tuple[Access, str, str]]:
    """What is asked in a day: name to (who, type, query). `sample` names a child in the middle of the store."""
    patient, nhs, code = sample["id"], f"{names.NHS_NUMBER}|{sample['nhs']}", sample["code"]
    mine, all_ = HOSPITAL, SYSTEM
    return {
        "a child by NHS number": (mine, "Patient", f"identifier={nhs}"),
        "a child by name and birth date": (mine, "Patient", f"family={sample['family']}&birthdate={sample['born']}"),
        "children by name, a page": (mine, "Patient", f"family={sample['family']}&_count=20"),
        "children by part of a name": (mine, "Patient", f"name:contains={sample['family'][1:4].lower()}&_count=20"),
        "children born in a month, by birth date": (
            mine, "Patient", f"birthdate=ge{sample['born'][:7]}-01&birthdate=le{sample['born'][:7]}-28&_sort=birthdate&_count=20",
        ),
        "a child's observations, newest first": (mine, "Observation", f"patient={patient}&_sort=-date&_count=20"),
        "a child's observations of a code": (mine, "Observation", f"patient={patient}&code={code}"),
        "a child with conditions and case": (
            mine, "Patient", f"_id={patient}&_revinclude=Condition:subject&_revinclude=EpisodeOfCare:patient",
        ),
        "stays by the child's NHS number (chain)": (mine, "Encounter", f"subject:Patient.identifier={nhs}&_include=Encounter:subject"),
        "observations by the child's name (chain, many)": (
            mine, "Observation", f"subject:Patient.family={sample['family']}&_count=20",
        ),
        "children with a diagnosis (_has)": (mine, "Patient", f"_has:Condition:patient:code={sample['diagnosis']}&_count=20"),
        "a hospital's cases of a condition": (mine, "EpisodeOfCare", f"type={sample['condition']}&_count=50"),
        "what changed since yesterday": (mine, "Observation", f"_lastUpdated=ge{sample['since']}&_sort=-_lastUpdated&_count=50"),
        "observations by value": (mine, "Observation", "value-quantity=gt50|http://unitsofmeasure.org|mg/L&_count=20"),
        "the whole type, nationally": (all_, "Patient", "_count=50"),
        "how many cases, nationally": (all_, "EpisodeOfCare", "_summary=count"),
        "tasks that are due": (mine, "Task", f"status=requested&period=le{sample['born'][:4]}-12-31&_count=50"),
    }  # fmt: skip


# ---- measuring


async def measure(children: int, whole: int, played: Path, work: Path, cache_gb: float) -> Document:
    """All figures."""
    servers = mongod.ReplicaSet(work / "mongod", cache_gb=cache_gb)
    servers.start()
    try:
        _run("copy", "--from", f"sqlite:///{played.resolve() / 'csor.db'}", "--to", servers.url)
        with MongoClient[Document](servers.url) as client:
            seeds, grown = _children(client.csor), {name: _collection(client.csor, name) for name in GROWN}
        _stop(servers.members[0])
        have = _grow(servers.members[0].directory, children, whole, cache_gb)
        servers.members[0].start()
        servers.primary()
        with MongoClient[Document](servers.url) as client:
            figures: Document = {
                "children": {"resource": have, "version": min(have, whole), "record": min(have, whole)},
                "cache_gb": cache_gb,
                "collections": {name: _collection(client.csor, name) for name in GROWN},
                "types": _types(client.csor),
                "messages": client.csor.record.count_documents({"kind": "hl7v2"}),
                "as_written": {"children": seeds, "indexes": {name: sum(one["indexes"].values()) for name, one in grown.items()}},
            }
            sample = _sample(client.csor)
        store = MongoStore(servers.url)
        await store.open()
        try:
            figures["queries"] = [await _query(store, name, *asked) for name, asked in workload(sample).items()]
            figures["queries"] += [await _other(store, name, call) for name, call in _others(store, sample).items()]
            figures["writes"] = await _writes(store, sample)
        finally:
            await store.close()
        return figures
    finally:
        servers.stop()


def _grow(directory: Path, children: int, whole: int, cache_gb: float) -> int:
    """The children there are then. Done by a server alone, without indexes, which are built at the end: that is many times faster."""
    alone = mongod.Member(directory, replica_set=None, cache_gb=cache_gb)
    alone.start()
    try:
        began = time.monotonic()
        with MongoClient[Document](f"mongodb://{alone.address}/csor", serverSelectionTimeoutMS=60_000) as client:
            for name in GROWN:
                client.csor[name].drop_indexes()
            have = grow(f"mongodb://{alone.address}/csor", children, whole, _say)
            _say(f"grown to {have:,} Patients in {time.monotonic() - began:,.0f} s; building indexes")
            for name in GROWN:
                client.csor[name].create_indexes(INDEXES[name])
                _say(f"indexes of {name} after {time.monotonic() - began:,.0f} s")
        _stop(alone)
        return have
    finally:
        alone.kill()


def _stop(member: mongod.Member) -> None:
    """In good order."""
    assert member.process is not None
    member.process.terminate()
    member.process.wait(600)


def _children(db: Any) -> int:
    return int(db.resource.count_documents({"_id": {"$regex": "^Patient/"}}))


def _collection(db: Any, name: str) -> Document:
    told = db.command("collStats", name)
    indexes = {index: int(size) for index, size in told["indexSizes"].items()}
    return {
        "documents": int(told["count"]),
        "bytes": int(told["size"]),
        "stored": int(told["storageSize"]),
        "indexes": dict(sorted(indexes.items(), key=lambda item: -item[1])),
    }


def _types(db: Any) -> dict[str, int]:
    counted = db.resource.aggregate([{"$group": {"_id": "$t", "n": {"$sum": 1}}}, {"$sort": {"n": -1}}])
    return {one["_id"]: int(one["n"]) for one in counted if one["_id"]}


def _sample(db: Any) -> Document:
    """A child of the hospital, somewhere in the middle, with an observation and a condition."""
    middle = int(next(db.resource.find({"t": "Patient"}, {"n": 1}).sort("n", 1).skip(_children(db) // 2).limit(1))["n"])
    found = db.resource.find({"w": "ZAA", "t": "Observation", "n": {"$gt": middle}}).sort("n", 1).limit(500)
    for observation in (codec.decode(one["raw"]) for one in found):
        patient = observation["subject"]["reference"].partition("/")[2]
        child = codec.decode(db.resource.find_one({"_id": f"Patient/{patient}"})["raw"])
        condition = db.resource.find_one({"k": f"{_key('Condition', 'subject')}rPatient/{patient}", "t": "Condition"})
        case = db.resource.find_one({"k": f"{_key('EpisodeOfCare', 'patient')}rPatient/{patient}", "t": "EpisodeOfCare"})
        nhs = [one["value"] for one in child.get("identifier", ()) if one["system"] == names.NHS_NUMBER]
        if condition and case and nhs and child.get("name"):
            return {
                "id": patient, "nhs": nhs[0], "family": child["name"][0]["family"], "born": child["birthDate"],
                "code": observation["code"]["coding"][0]["code"], "observation": observation["id"],
                "diagnosis": codec.decode(condition["raw"])["code"]["coding"][0]["code"],
                "condition": codec.decode(case["raw"])["type"][0]["coding"][0]["code"],
                "since": time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400)),
            }  # fmt: skip
    raise LookupError("no child has all that the sample needs")


def _key(type: str, param: str) -> str:
    from app.store.mongo.words import param_key

    return param_key(type, param)


async def _query(store: MongoStore, name: str, access: Access, type: str, query: str) -> Document:
    plan = parse(type, parse_qsl(query))
    asked = await _explained(store, lambda db: Search(db.resource, None, access, plan).page(b"k" * 32))
    found = await store.search(access, plan)
    spent = await _spent(lambda: store.search(access, plan))
    return {"name": name, "query": f"{type}?{_plain(query)}", "found": len(found.matches), "ms": spent, **asked}


def _plain(query: str) -> str:
    """The query without the sample's own values."""
    return "&".join(part.partition("=")[0] for part in query.split("&"))


def _others(store: MongoStore, sample: Document) -> dict[str, Call]:
    patient = sample["id"]

    async def read(db: Any) -> object:
        return await db.resource.find_one({"_id": f"Patient/{patient}"})

    async def feed(db: Any) -> object:
        async def never(work: object) -> int:
            raise AssertionError("nothing is pending")

        return await Feed(db, never).changes(1_000_000, 500)

    return {
        "read by id": read,
        "history of a resource": lambda db: history.page(db, HOSPITAL, b"k" * 32, "Patient", patient, None, 50, None),
        "history of a type": lambda db: history.page(db, HOSPITAL, b"k" * 32, "Observation", None, None, 50, None),
        "a page of the change feed": feed,
        "records by state": lambda db: find(db.record, where(SYSTEM, "hl7v2", state="error"), 100, False),
        "records that are due": lambda db: find(
            db.record, where(SYSTEM, "invitation", due_before=10**16, state="waiting"), 100, False
        ),
    }


async def _other(store: MongoStore, name: str, call: Call) -> Document:
    asked = await _explained(store, call)
    return {"name": name, "query": "", "found": None, "ms": await _spent(lambda: call(store._db)), **asked}


async def _explained(store: MongoStore, call: Call) -> Document:
    """How MongoDB goes about what `call` sends: indexes, keys and documents looked at, scans; and whether a sharded cluster would ask one shard."""
    async with watched(store) as (db, sent):
        await call(db)
    indexes: list[str] = []
    keys = documents = 0
    scans: list[str] = []
    for command in sent:
        told = await store._db.command("explain", command, verbosity="executionStats")
        ran = told.get("executionStats") or told["stages"][0]["$cursor"]["executionStats"]
        keys += ran["totalKeysExamined"]
        documents += ran["totalDocsExamined"]
        scans += [stage["stage"] for stage in stages(told) if stage.get("stage") == "COLLSCAN"]
        winning = told.get("queryPlanner") or told["stages"][0]["$cursor"]["queryPlanner"]
        indexes += [
            s.get("indexName", "_id_") for s in stages(winning["winningPlan"]) if s["stage"] in ("IXSCAN", "IDHACK", "COUNT_SCAN")
        ]
    return {
        "looks": len(sent),
        "indexes": list(dict.fromkeys(indexes)),
        "keys": keys,
        "documents": documents,
        "scans": scans,
        "shards": "one" if all(map(_targeted, sent)) else "some" if any(map(_targeted, sent)) else "all",
    }


def _targeted(command: Document) -> bool:
    """Whether the filter names the shard key: `_id` of a resource or record, `r` of a version."""
    key = "r" if command.get("find") == "version" else "_id"
    pieces = [command.get("filter", {}), *command.get("filter", {}).get("$and", ())]
    return any(isinstance(piece.get(key), str) or (isinstance(piece.get(key), dict) and "$in" in piece[key]) for piece in pieces)


async def _spent(call: Callable[[], Awaitable[Any]]) -> float:
    """Median milliseconds, the first run left out."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await call()
        spent.append(1e3 * (time.perf_counter() - began))
    return round(median(spent[1:]), 1)


async def _writes(store: MongoStore, sample: Document) -> Document:
    observation = (await store.read(SYSTEM, "Observation", sample["observation"])).resource
    serial = iter(range(10**6))

    async def create() -> None:
        await store.commit(HOSPITAL, [Put(observation | {"id": f"scale-{next(serial)}"})])

    async def update() -> None:
        await store.commit(HOSPITAL, [Put(observation | {"issued": f"2026-01-01T00:00:00.{next(serial) % 1000:03d}Z"})])

    return {"create": await _spent(create), "update": await _spent(update)}


# ---- the page


def tables(figures: Document) -> dict[str, str]:
    """The page's tables by name, from the figures alone."""
    makers = {"sizes": _sizes, "written": _written, "queries": _queries, "writes": _commits, "growth": _growth, "memory": _memory}
    return {name: make(figures) for name, make in makers.items()}


def with_tables(page: str, figures: Document) -> str:
    """The page with its tables between their marks."""
    for name, table in tables(figures).items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        if not mark or not end:
            raise LookupError(f"the page has no place for {name}")
        page = before + mark + table + end + after
    return page


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f}" if size < 10e9 else f"{size / 1e9:,.0f}"


def _sizes(figures: Document) -> str:
    out = _row("collection", "documents", "a child", "GB as BSON", "GB on disk", "GB of indexes", "largest indexes")
    out += _row("---", *["---:"] * 5, "---")
    for name, told in figures["collections"].items():
        largest = ", ".join(f"`{index}` {_gb(size)}" for index, size in list(told["indexes"].items())[:3])
        indexes = sum(told["indexes"].values())
        each = f"{told['documents'] / figures['children'][name]:.1f}"
        out += _row(f"`{name}`", f"{told['documents']:,}", each, _gb(told["bytes"]), _gb(told["stored"]), _gb(indexes), largest)
    return out


def as_written(figures: Document) -> float:
    """Bytes of indexes a child where they grew entry by entry, as they do in life: pages are less full."""
    told = figures["as_written"]
    return float(sum(told["indexes"].values()) / told["children"])


def _written(figures: Document) -> str:
    told, grown, built = figures["as_written"], as_written(figures), per_child(figures, "indexes")
    return (
        f"A child takes {per_child(figures, 'stored') / 1e3:,.0f} kB on disk and {built / 1e3:,.0f} kB of indexes, which were built at once; those of the "
        f"{told['children']:,} children of the play, written entry by entry, took {grown / 1e3:,.0f} kB a child, "
        "and the tables below reckon with that.\n"
    )


def _commits(figures: Document) -> str:
    told = figures["writes"]
    return f"A commit of one new Observation took {told['create']:,.0f} ms, of one new version {told['update']:,.0f} ms, each alone.\n"


def _memory(figures: Document) -> str:
    """How many children's indexes fit in the cache of a member, which is half of its memory."""
    out = _row(
        "memory of a member", "children whose indexes fit in its cache", *(f"years at {yearly:,} a year" for yearly in SCENARIOS)
    )
    out += _row(*["---:"] * (2 + len(SCENARIOS)))
    for size in (16, 64, 256):
        children = size * 1e9 / 2 / as_written(figures)
        years = [f"{children / yearly:,.0f}" if children > 10 * yearly else f"{children / yearly:,.1f}" for yearly in SCENARIOS]
        out += _row(f"{size} GB", f"{children:,.0f}", *years)
    return out


def _queries(figures: Document) -> str:
    out = _row("what is asked", "parameters", "looks", "indexes", "keys", "documents", "found", "ms", "shards asked")
    out += _row("---", "---", "---:", "---", *["---:"] * 4, "---")
    for one in figures["queries"]:
        query = f"`{one['query']}`" if one["query"] else ""
        indexes = ", ".join(f"`{index}`" for index in one["indexes"])
        found = "" if one["found"] is None else one["found"]
        out += _row(
            one["name"],
            query,
            one["looks"],
            indexes,
            f"{one['keys']:,}",
            f"{one['documents']:,}",
            found,
            one["ms"],
            one["shards"],
        )
    return out


def per_child(figures: Document, what: str) -> float:
    """Documents, bytes `stored` or bytes of `indexes` that a child takes in all collections."""
    sizes = {name: told[what] if what != "indexes" else sum(told[what].values()) for name, told in figures["collections"].items()}
    return float(sum(size / figures["children"][name] for name, size in sizes.items()))


def _growth(figures: Document) -> str:
    disk, indexes = per_child(figures, "stored"), as_written(figures)
    told, of = figures["collections"], figures["children"]
    resources = told["resource"]["documents"] / of["resource"]
    versions, messages = told["version"]["documents"] / of["version"], figures["messages"] / of["record"]
    out = _row(
        "children a year", "messages a day", "versions a day", "after", "children", "resources", "GB of data", "GB of indexes"
    )
    out += _row(*["---:"] * 8)
    for yearly in SCENARIOS:
        for years in YEARS:
            children = yearly * years
            daily = [f"{yearly * each / 365:,.0f}" for each in (messages, versions)]
            out += _row(
                f"{yearly:,}", *daily, f"{years} y", f"{children:,}", f"{children * resources:,.0f}", _gb(children * disk), _gb(children * indexes)
            )  # fmt: skip
    return out


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "app.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.national")
    parser.add_argument("--children", type=int, default=100_000)
    parser.add_argument("--whole", type=int, default=100_000, help="children who come with versions and records, too")
    parser.add_argument("--played", type=Path, help="data directory of a simulation that was played; else one is played")
    parser.add_argument("--cache-gb", type=float, default=0.5)
    parser.add_argument("--page", action="store_true", help="only write the page's tables")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    given = parser.parse_args()
    if not given.page:
        with tempfile.TemporaryDirectory(prefix="csor-national-") as work:
            played = given.played or Path(work) / "played"
            if given.played is None:
                _run("demo", "--once", "--per-year", "200", "--data", str(played))
            figures = asyncio.run(measure(given.children, given.whole, played, Path(work), given.cache_gb))
        given.figures.write_text(json.dumps(figures, indent=1) + "\n")
    if given.figures == FIGURES:
        PAGE.write_text(with_tables(PAGE.read_text(), json.loads(FIGURES.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
