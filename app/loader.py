"""Files of FHIR into a server, in an order in which each finds what it refers to. `csor load` is its command line.

Invariants: the files are read once, as a stream; every resource goes through the routes that callers use (validation, conditions, one
commit for a transaction); what was not stored is reported with file, line and a sentence, and stops nothing else, unless nobody is there any more.

Order: what others refer to comes first (files of hospitals and practitioners, then types by rank); a transaction whose condition
matches nothing yet is put back and tried again after the others, as long as that helps.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from app.fhir import codec
from app.fhir.errors import FHIRError, Unavailable
from app.fhir.files import FileItem, files_in, read_resources

AT_ONCE = 3  # bundles under way
GROUP = 400  # loose resources that share one transaction
UNKNOWN = (502, 504)  # no answer came through, so it may have been stored: in smaller pieces it might be stored twice
# What others refer to, first to last; all other types come after these
RANK = [
    "CodeSystem",
    "ValueSet",
    "ConceptMap",
    "StructureDefinition",
    "Questionnaire",
    "Library",
    "Measure",
    "PlanDefinition",
    "ActivityDefinition",
    "Organization",
    "Location",
    "Practitioner",
    "PractitionerRole",
    "HealthcareService",
    "Substance",
    "Medication",
    "Device",
    "Patient",
    "RelatedPerson",
    "Group",
    "Coverage",
    "EpisodeOfCare",
    "Encounter",
    "Condition",
    "Procedure",
    "Observation",
]
_ORDER = {type: place for place, type in enumerate(RANK)}


class Sink(Protocol):
    """Where a bundle is posted: a store in this process or a server elsewhere."""

    async def post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Status and body. `bundle` decodes it afresh. Raises Unavailable where nobody is there to take anything, which ends the load."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not loaded, and why."""

    path: Path
    line: int | None
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.sentence}"


@dataclass(slots=True)
class Report:
    """Counts of resources."""

    files: int = 0
    loaded: int = 0
    already: int = 0  # conditional creates that found one
    refusals: list[Refusal] = field(default_factory=list)
    refused: int = 0
    ended: str = ""  # why not all files were tried

    def refuse(self, item: FileItem, sentence: str, count: int = 1) -> None:
        """Counts all, keeps the first thousand sentences."""
        self.refused += count
        if len(self.refusals) < 1000:
            self.refusals.append(Refusal(item.path, item.line, sentence))


class Loader:
    """One run. `progress` is told of each file that is done with; `report` is right at any moment, so that an interrupted run can tell."""

    def __init__(self, sink: Sink, progress: Callable[[Path], None] = lambda path: None, report: Report | None = None) -> None:
        self._sink, self._progress, self.report = sink, progress, report or Report()
        self._loose: list[tuple[FileItem, dict[str, Any]]] = []
        self._later: list[tuple[FileItem, str]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, paths: Iterable[Path]) -> Report:
        """Loads everything below `paths`."""
        try:
            await self._run(sorted(files_in(paths), key=_file_order))
        finally:
            for task in self._under_way:  # something went wrong, or somebody pressed Ctrl-C
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
        return self.report

    async def _run(self, files: list[Path]) -> None:
        tier: int | None = None
        async for path, item in _ahead(files):
            if self.report.ended:
                break
            if item is None:
                self.report.files += 1
                self._progress(path)
                continue
            if tier is not None and _file_order(path)[0] != tier:
                await self._flush()
                await self._wait()
            tier = _file_order(path)[0]
            work = await self._take(item)
            if work is not None:
                self._under_way.add(asyncio.create_task(work))
            await self._wait(AT_ONCE - 1)
        await self._flush()
        await self._wait()
        await self._again()

    async def _wait(self, most: int = 0) -> None:
        """Until at most so many bundles are under way. Raises what the work on one raised."""
        while len(self._under_way) > most:
            done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """As the sink; once nobody is there, everything is refused with the sentence that says so."""
        if not self.report.ended:
            try:
                return await self._sink.post(bundle)
            except Unavailable as error:
                self.report.ended = str(error)
        return 504, Unavailable(self.report.ended).outcome()

    async def _take(self, item: FileItem) -> Coroutine[Any, Any, None] | None:
        """Work for a bundle; a loose resource waits for its group."""
        try:
            resource = item.decode()
        except FHIRError as error:
            self.report.refuse(item, str(error))
            return None
        kind = resource.get("type") if resource.get("resourceType") == "Bundle" else None
        if kind in ("transaction", "batch"):
            return self._bundle(item, _first(resource, item.decode))
        inside = [resource]
        if kind in ("collection", "searchset", "history", "document", "message"):
            inside = [
                e["resource"] for e in resource.get("entry") or [] if isinstance(e, dict) and isinstance(e.get("resource"), dict)
            ]
        for each in inside:
            self._loose.append((item, each))
            if len(self._loose) >= GROUP * 10:
                await self._flush()
        return None

    async def _bundle(self, item: FileItem, decode: Callable[[], dict[str, Any]], *, last: bool = False) -> None:
        status, body = await self._post(decode)
        entries = body.get("entry") or []
        if status == 412 and not last:
            self._later.append((item, _sentence(body)))
        elif status >= 400:
            self.report.refuse(item, _sentence(body), max(1, len(item.decode().get("entry") or [])))
        for index, entry in enumerate(entries):
            response = entry.get("response") or {}
            code = int(str(response.get("status", "200"))[:3])
            if code >= 400:
                self.report.refuse(item, f"Bundle.entry[{index}]: {_sentence(response.get('outcome') or {})}")
            elif code == 200 and "location" in response:
                self.report.already += 1
            else:
                self.report.loaded += 1

    async def _again(self) -> None:
        """What waited for others, until a round brings nothing."""
        while self._later:
            waiting, self._later = self._later, []
            for item, _ in waiting:
                await self._bundle(item, item.decode)
            if len(self._later) == len(waiting):
                for item, sentence in self._later:
                    self.report.refuse(item, sentence, max(1, len(item.decode().get("entry") or [])))
                return

    async def _flush(self) -> None:
        """Loose resources, by rank of their type, in groups that hold or fall together; a group that falls is tried one by one."""
        loose, self._loose = self._loose, []
        loose.sort(key=lambda pair: _ORDER.get(str(pair[1].get("resourceType")), len(_ORDER)))
        group: dict[str, tuple[FileItem, dict[str, Any]]] = {}
        for place, (item, resource) in enumerate(loose):
            name = f"{resource.get('resourceType')}/{resource['id']}" if "id" in resource else f"#{place}"
            if name in group or len(group) >= GROUP:
                await self._group(list(group.values()))
                group = {}
            group[name] = (item, resource)
        if group:
            await self._group(list(group.values()))

    async def _group(self, group: list[tuple[FileItem, dict[str, Any]]]) -> None:
        raw = codec.encode(
            {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for _, resource in group]}
        )
        status, body = await self._post(partial(codec.decode, raw))
        if status < 400:
            self.report.loaded += len(group)
        elif len(group) == 1 or status in UNKNOWN:
            for item, resource in group:
                said = _sentence(body).replace("Bundle.entry[0].resource", str(resource.get("resourceType")))
                self.report.refuse(item, said)
        else:
            half = len(group) // 2  # so that one bad resource costs a few small commits, not hundreds
            await self._group(group[:half])
            await self._group(group[half:])


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    type = str(resource.get("resourceType", "Resource"))
    if isinstance(resource.get("id"), str):
        return {"resource": resource, "request": {"method": "PUT", "url": f"{type}/{resource['id']}"}}
    return {"resource": resource, "request": {"method": "POST", "url": type}}


def _sentence(outcome: dict[str, Any]) -> str:
    """The first issues of an OperationOutcome, in one line."""
    issues = [issue for issue in outcome.get("issue") or [] if issue.get("severity") in ("error", "fatal")]
    told = [": ".join(filter(None, [*(issue.get("expression") or [])[:1], issue.get("diagnostics", "")])) for issue in issues[:3]]
    more = f" (and {len(issues) - 3} more)" if len(issues) > 3 else ""
    return "; ".join(told) + more or "refused without a reason"


def _file_order(path: Path) -> tuple[int, str]:
    """Tiers, with a barrier between them: organisations, practitioners, then NDJSON files by the type in their name, then the rest."""
    name = path.name
    if "hospitalInformation" in name:
        return (0, str(path))
    if "practitionerInformation" in name:
        return (1, str(path))
    if ".ndjson" in name:
        type = name.partition(".")[0].partition("-")[0].partition("_")[0]
        return (2 + _ORDER.get(type, len(_ORDER)), str(path))
    return (100, str(path))


def _first(resource: dict[str, Any], afresh: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Gives what is decoded already, and after that decodes again."""
    ready = [resource]
    return lambda: ready.pop() if ready else afresh()


def _items(files: list[Path]) -> Iterator[tuple[Path, FileItem | None]]:
    for path in files:
        for item in read_resources([path]):
            yield path, item
        yield path, None


async def _ahead(files: list[Path]) -> AsyncIterator[tuple[Path, FileItem | None]]:
    """Items of the files, each read and unpacked by a thread while the one before is worked on; (path, None) after each file."""
    items = _items(files)
    loop = asyncio.get_running_loop()
    following = loop.run_in_executor(None, next, items, None)
    while (value := await following) is not None:
        following = loop.run_in_executor(None, next, items, None)
        yield value
