"""HL7v2 over MLLP: what a hospital's integration engine sends becomes FHIR resources.

`er7` reads a message without loss, `mllp` frames it, `inbox` keeps its bytes durably before anything is answered, `map` turns it into
resources whatever order messages arrive in, `ack` answers, `listener` serves, `worker` maps what was only stored.

What must stay true: no message is acknowledged before its bytes are durable; no message is dropped in silence; any order of arrival,
and any number of repeats, ends in the same resources.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.store.protocol import Store


def services(
    store: "Store",
    host: str,
    port: int,
    sandbox: bool,
    certificate: Path | None = None,
    key: Path | None = None,
    client_authorities: Path | None = None,
) -> list[Any]:
    """What `csor serve` runs in each of its processes. Several processes share the port (the system spreads the connections)."""
    from app.intake.hl7v2.listener import MLLPServer, tls_context

    tls = tls_context(certificate, key, client_authorities) if certificate and key else None
    return [MLLPServer(store, host=host, port=port, sandbox=sandbox, tls=tls, reuse_port=True)]
