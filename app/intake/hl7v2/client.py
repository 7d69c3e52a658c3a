"""An MLLP client: sends messages one after another and gives each answer. For `csor hl7 send`, tests and the bench."""

import asyncio
import ssl
from types import TracebackType

from app.fhir.errors import Unavailable
from app.intake.hl7v2.mllp import Event, Framer, frame


class Client:
    """`async with Client(host, port) as client: answer = await client.send(message)`. Raises Unavailable with a sentence."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, timeout: float = 30) -> None:
        self._address, self._tls, self._timeout = (host, port), tls, timeout
        self._framer = Framer()
        self._events: list[Event] = []

    async def __aenter__(self) -> "Client":
        try:
            async with asyncio.timeout(self._timeout):
                self._reader, self._writer = await asyncio.open_connection(*self._address, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"Nobody answers at {self._address[0]}:{self._address[1]}: {error or 'timed out'}") from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()

    async def send(self, message: bytes) -> bytes:
        """Frame and send a message; its answer."""
        return await self.send_raw(frame(message))

    async def send_raw(self, data: bytes) -> bytes:
        """Send bytes as they are; the next answer."""
        self._writer.write(data)
        await self._writer.drain()
        return await self.answer()

    async def answer(self) -> bytes:
        """The next answer. Raises Unavailable where none comes."""
        while not self._events:
            try:
                async with asyncio.timeout(self._timeout):
                    data = await self._reader.read(65536)
            except (OSError, TimeoutError) as error:
                raise Unavailable(f"No answer within {self._timeout:g} seconds") from error
            if not data:
                raise Unavailable("The connection was closed without an answer")
            self._events += self._framer.feed(data)
        return self._events.pop(0).data
