"""Structured logs without personal data.

Log lines carry event names, counts, durations, opaque ids and error codes, never a resource, a message, a name, a
date of birth or an identifier. `PERMITTED` is the whole list of keys; anything else is dropped, and a test proves it.
"""

import logging
import sys
from typing import Any, TextIO, cast

import structlog

PERMITTED = frozenset(
    [
        "event",
        "level",
        "timestamp",
        "exc_type",
        "where",
        "method",
        "route",
        "status",
        "ms",
        "count",
        "bytes",
        "type",
        "id",
        "version",
        "code",
        "reason",
        "attempt",
        "job",
        "kind",
        "state",
        "sender",
        "consumer",
        "seq",
        "host",
        "port",
        "pid",
        "workers",
        "store",
        "sandbox",
        "hospital",
        "trace",
    ]
)


def _only_permitted(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key in PERMITTED}


class _Stderr:
    """Whatever stderr is when a line is written: it may have been replaced and closed since the logger was made."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(level: str = "info") -> None:
    """One JSON object a line on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_permitted,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=False,
    )


def logger() -> Any:
    """The one logger. `logger().info("mllp-accepted", sender="RXX", ms=3)`."""
    return structlog.get_logger()
