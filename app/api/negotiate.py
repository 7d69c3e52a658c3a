"""What the caller sends and wants: media types, `_format`, `Prefer`, entity tags, dates. Pure functions on header values."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Literal

from app.fhir.errors import BadRequest, NotAcceptable, PreconditionFailed, UnsupportedMedia

Format = Literal["json", "xml"]
JSON, XML = "application/fhir+json; charset=utf-8", "application/fhir+xml; charset=utf-8"
_JSON = {"application/fhir+json", "application/json", "text/json", "json", "application/*", "*/*", "text/html"}
_XML = {"application/fhir+xml", "application/xml", "text/xml", "xml"}
_VERSIONS = ("4.0", "4.0.1")


def _media(text: str) -> tuple[str, dict[str, str]]:
    kind, *rest = text.split(";")
    parameters = {}
    for item in rest:
        key, _, value = item.partition("=")
        parameters[key.strip().lower()] = value.strip().strip('"').lower()
    return kind.strip().lower(), parameters


@lru_cache(maxsize=1024)
def wanted(accept: str, format: str | None) -> Format:
    """The format of the answer; `_format` goes before `Accept`. Raises NotAcceptable."""
    if format is not None:
        # "+" in an unescaped query string arrives as a space
        kind = format.split(";")[0].strip().lower().replace(" ", "+")
        if kind in _XML:
            return "xml"
        if kind in _JSON:
            return "json"
        raise NotAcceptable(f"_format={format[:60]} is not one that this server writes: json or xml.")
    best: tuple[float, Format] | None = None
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind, parameters = _media(part)
        if parameters.get("fhirversion", "4.0") not in _VERSIONS:
            continue
        known: Format | None = "json" if kind in _JSON else "xml" if kind in _XML else None
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if kind in ("*/*", "application/*"):
            quality -= 0.0001  # a named type goes before a wildcard of the same weight
        if known and quality > 0 and (best is None or quality > best[0]):
            best = (quality, known)
    if best is None:
        raise NotAcceptable(
            "None of the formats in Accept is one that this server writes: application/fhir+json or application/fhir+xml."
        )
    return best[1]


@lru_cache(maxsize=1024)
def sent(content_type: str) -> Format:
    """The format of a body. No Content-Type is taken for JSON. Raises UnsupportedMedia."""
    if not content_type.strip():
        return "json"
    kind, parameters = _media(content_type)
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("FHIR is written in UTF-8: send the body in it.")
    if parameters.get("fhirversion", "4.0") not in _VERSIONS:
        raise UnsupportedMedia("This server reads FHIR R4 (fhirVersion=4.0).")
    if kind in ("application/fhir+json", "application/json", "text/json"):
        return "json"
    if kind in ("application/fhir+xml", "application/xml", "text/xml"):
        return "xml"
    raise UnsupportedMedia(f"This server does not read {kind[:60]}: send application/fhir+json or application/fhir+xml.")


@dataclass(frozen=True, slots=True)
class Prefer:
    """`Prefer: return=..., handling=...`."""

    result: Literal["representation", "minimal", "OperationOutcome"] = "representation"
    strict: bool = False


@lru_cache(maxsize=256)
def prefer(header: str) -> Prefer:
    """Words that we do not know are passed over, as RFC 7240 asks."""
    result: Literal["representation", "minimal", "OperationOutcome"] = "representation"
    strict = False
    for part in re.split("[,;]", header):
        key, _, value = part.strip().partition("=")
        value = value.strip().strip('"')
        if key == "return":
            if value == "minimal":
                result = "minimal"
            elif value == "OperationOutcome":
                result = "OperationOutcome"
        elif key == "handling":
            strict = value == "strict"
    return Prefer(result, strict)


def etag(version: int) -> str:
    """`W/"3"`."""
    return f'W/"{version}"'


@dataclass(frozen=True, slots=True)
class OneOf:
    """`If-Match` with a list of versions, or with `*`, which is None here: any that is there."""

    versions: frozenset[int] | None


# What a write wants to find: None whatever is there; 0 nothing; n that version.
Wanted = int | OneOf | None


def chosen(wanted: Wanted, current: int | None) -> int | None:
    """`wanted` without a choice, where `current` is what is there. Raises PreconditionFailed."""
    if not isinstance(wanted, OneOf):
        return wanted
    if current is None or (wanted.versions is not None and current not in wanted.versions):
        raise PreconditionFailed("None of the versions that If-Match names is the current one.")
    return current


def version_of(header: str, name: str) -> int | OneOf:
    """The version in `W/"3"`, or what a list or `*` leaves to choose from. Raises BadRequest."""
    if header.strip() == "*":
        return OneOf(None)
    found = [re.fullmatch(r'\s*(?:W/)?"?([0-9]{1,18})"?\s*', tag) for tag in header.split(",")]
    versions = frozenset(int(match[1]) for match in found if match)
    if None in found:
        raise BadRequest(f'{name}: {header[:40]} is not a version tag. One looks like W/"3".')
    return OneOf(versions) if len(versions) > 1 else min(versions)


def version_wanted(if_match: str | None, if_none_match: str | None, names: tuple[str, str]) -> Wanted:
    """What a PUT wants to find; `If-None-Match: *` is nothing. Raises BadRequest."""
    if if_none_match is None:
        return None if if_match is None else version_of(if_match, names[0])
    if if_match is not None or if_none_match.strip() != "*":
        raise BadRequest(f"{names[1]} of a PUT is '*', for \"only if it is not there\", and stands without {names[0]}.")
    return 0


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def http_date(at: int) -> str:
    """An HTTP date, from microseconds since 1970."""
    return _http_date(at // 1_000_000)


def not_modified(version: int, updated: int, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Whether a conditional read is answered with 304. If-None-Match goes before If-Modified-Since (RFC 9110)."""
    if if_none_match is not None:
        tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")]
        return "*" in tags or str(version) in tags
    if if_modified_since is not None:
        try:
            return updated // 1_000_000 <= int(parsedate_to_datetime(if_modified_since).timestamp())
        except (ValueError, OverflowError):
            return False
    return False
