"""The MLLP listener: asyncio streams, optional TLS, one message at a time on each connection.

A connection is read only as fast as its messages become durable, so a slow store slows the sender instead of filling memory. Whatever was
received is answered before the connection closes.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path

from app.fhir.errors import Unavailable
from app.intake.hl7v2 import mllp
from app.intake.hl7v2.inbox import Inbox
from app.intake.hl7v2.mllp import Event, Framer, frame
from app.intake.hl7v2.worker import Worker
from app.logs import logger
from app.store.protocol import Store

READ = 64 * 1024
MAX_FAULTS = 20  # of one connection: whatever sends more is no HL7 sender, and must not fill the store


def tls_context(certificate: Path, key: Path, clients: Path | None = None) -> ssl.SSLContext:
    """For the listener. With `clients` (a file of authorities), senders must show a certificate. Raises Unavailable with the file's name."""
    for file in filter(None, (certificate, key, clients)):
        try:
            file.read_bytes()
        except OSError as error:  # the errors of ssl name no file
            raise Unavailable(f"{file} cannot be read: {error.strerror}.") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")  # else it would ask for one
    except ssl.SSLError:
        raise Unavailable(f"{certificate} and {key} are not a certificate and its own key without a password, in PEM.") from None
    if clients is not None:
        try:
            context.load_verify_locations(clients)
        except ssl.SSLError:
            raise Unavailable(f"{clients} holds no certificates in PEM.") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class MLLPServer:
    """A service: `await run(stop)` listens, and maps what enhanced mode only stored. `port` 0 takes a free one, told by `address`.

    `idle` and `within` are seconds: how long a connection may rest between messages, and within one.
    """

    name = "mllp"

    def __init__(
        self,
        store: Store,
        *,
        host: str = "127.0.0.1",
        port: int = 2575,
        sandbox: bool = False,
        tls: ssl.SSLContext | None = None,
        max_bytes: int = mllp.MAX_BYTES,
        idle: float = 3600,
        within: float = 60,
        max_connections: int = 256,
        reuse_port: bool = False,
    ) -> None:
        self.inbox = Inbox(store, sandbox=sandbox)
        self.worker = Worker(self.inbox)
        self._host, self._port, self._tls = host, port, tls
        self._max_bytes, self._idle, self._within = max_bytes, idle, within
        self._max_connections, self._reuse_port = max_connections, reuse_port
        self._connections: set[asyncio.Task[None]] = set()
        self._resting: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.ready = asyncio.Event()
        self.address: tuple[str, int] = (host, port)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; then finish the messages under way and close."""
        server = await asyncio.start_server(
            self._connected, self._host, self._port, ssl=self._tls, limit=READ, reuse_port=self._reuse_port or None
        )
        self.address = server.sockets[0].getsockname()[:2]
        logger().info("mllp-listening", host=self.address[0], port=self.address[1])
        worker = asyncio.create_task(self.worker.run(stop))
        self.ready.set()
        try:
            await stop.wait()
        finally:
            self._stopping = True
            server.close()
            for task in self._resting:
                task.cancel()
            if self._connections:
                await asyncio.wait(self._connections, timeout=10)
            await asyncio.gather(worker, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._max_connections or self._stopping:
            logger().warning("mllp-too-many-connections", count=len(self._connections))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(task, reader, writer)
        except (ConnectionError, ssl.SSLError):
            logger().info("mllp-connection-lost")
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except Exception as error:
            logger().exception("mllp-connection-failed", exc_type=type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(writer.wait_closed(), 5)

    async def _converse(self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer(self._max_bytes)
        begun, faults = 0.0, 0
        clock = asyncio.get_running_loop().time
        while not self._stopping:
            limit = max(begun + self._within - clock(), 0) if framer.pending else self._idle
            resting = not framer.pending
            if resting:
                self._resting.add(task)
            try:
                data = await asyncio.wait_for(reader.read(READ), limit)
            except TimeoutError:
                data = b""
            finally:
                self._resting.discard(task)
            if not data:
                await self._answer(framer.end(), writer)
                return
            if resting:
                begun = clock()
            events = framer.feed(data)
            if events:
                begun = clock()
            await self._answer(events, writer)
            faults += sum(bool(event.fault) for event in events)
            if faults > MAX_FAULTS:
                logger().warning("mllp-too-many-faults", count=faults)
                return

    async def _answer(self, events: list[Event], writer: asyncio.StreamWriter) -> None:
        for event in events:
            for answer in await self.inbox.accept(event):
                writer.write(frame(answer))
            await writer.drain()
