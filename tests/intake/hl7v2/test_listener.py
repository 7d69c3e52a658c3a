"""The listener over real sockets: answers to whatever is thrown at it, in bounded memory, and stops without loss."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from app.fhir.errors import Unavailable
from app.intake.hl7v2.client import Client
from app.intake.hl7v2.er7 import parse
from app.intake.hl7v2.listener import MLLPServer
from app.intake.hl7v2.mllp import frame
from app.store.protocol import Store
from tests.intake.hl7v2.conftest import records, resources
from tests.intake.hl7v2.messages import message, pid, pv1

ADMISSION = message("A01", pid(), pv1())
Serve = Callable[..., AbstractAsyncContextManager[MLLPServer]]


@pytest.fixture
def serve(store: Store) -> Serve:
    @asynccontextmanager
    async def running(**options: Any) -> AsyncIterator[MLLPServer]:
        server = MLLPServer(store, port=0, sandbox=True, **options)
        stop = asyncio.Event()
        task = asyncio.create_task(server.run(stop))
        await asyncio.wait_for(server.ready.wait(), 10)
        try:
            yield server
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)

    return running


async def test_messages_split_joined_and_pipelined_are_answered_in_order(serve: Serve) -> None:
    messages = [message("A08", pid(), pv1(), control=f"C{n}", at=f"202403010900{n:02d}") for n in range(6)]
    stream = b"".join(map(frame, messages))
    async with serve() as server, Client(*server.address) as client:
        for cut in range(0, len(stream), 97):
            client._writer.write(stream[cut : cut + 97])
            await client._writer.drain()
        assert [parse(await client.answer())["MSA-2"] for _ in messages] == [f"C{n}" for n in range(6)]


async def test_broken_frames_get_a_nak_and_the_connection_goes_on(serve: Serve, store: Store) -> None:
    async with serve() as server, Client(*server.address) as client:
        first = await client.send_raw(b"\x0b" + ADMISSION + frame(ADMISSION))  # never finished, then whole
        assert parse(first)["MSA-1"] == "AE"
        assert parse(await client.answer())["MSA-1"] == "AA"
        assert parse(await client.send_raw(b"MSH|nonsense" + frame(ADMISSION)))["MSA-1"] in ("AE", "AR")
        assert parse(await client.answer())["MSA-1"] == "AA"
    assert len(await records(store, "rejected")) == 2


async def test_a_message_over_the_cap_is_refused_while_it_still_comes(serve: Serve, store: Store) -> None:
    async with serve(max_bytes=200_000) as server, Client(*server.address) as client:
        answer = await client.send_raw(b"\x0b" + ADMISSION + b"x" * 1_000_000 + b"\x1c\r")
        assert parse(answer)["MSA-1"] == "AR" and parse(answer)["MSA-2"] == "A0120240301090000"
        assert parse(await client.send(ADMISSION))["MSA-1"] == "AA"
    [kept] = await records(store, "rejected")
    assert kept.raw is not None and len(kept.raw) <= 64 * 1024


async def test_a_sender_that_stops_within_a_message_is_told(serve: Serve, store: Store) -> None:
    async with serve(within=0.2) as server, Client(*server.address) as client:
        assert parse(await client.send_raw(b"\x0b" + ADMISSION[:100]))["MSA-1"] == "AE"
        with pytest.raises(Unavailable, match="closed"):
            await client.answer()
    assert len(await records(store, "rejected")) == 1


async def test_a_sender_that_hangs_up_within_a_message_leaves_what_it_sent(serve: Serve, store: Store) -> None:
    async with serve() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"\x0b" + ADMISSION[:100])
        writer.write_eof()
        assert b"MSA|AE" in await asyncio.wait_for(reader.read(), 10)
        writer.close()
    [kept] = await records(store, "rejected")
    assert kept.raw == ADMISSION[:100]


async def test_a_resting_connection_is_closed_after_the_idle_time(serve: Serve) -> None:
    async with serve(idle=0.1) as server, Client(*server.address) as client:
        with pytest.raises(Unavailable, match="closed"):
            await client.answer()


async def test_many_connections_at_once_make_each_child_once(serve: Serve, store: Store) -> None:
    async def hospital(server: MLLPServer, number: int) -> None:
        async with Client(*server.address) as client:
            for event, at in (("A01", "20240301090000"), ("A08", "20240302090000"), ("A03", "20240303090000")):
                raw = message(
                    event, pid(mrn=f"C{number % 4}", nhs=""), pv1(visit=f"C{number % 4}"), at=at, control=f"{event}{number}"
                )
                assert parse(await client.send(raw))["MSA-1"] == "AA"

    async with serve() as server:
        await asyncio.gather(*(hospital(server, number) for number in range(12)))
    assert len(await resources(store, "Patient")) == 4
    assert [each["status"] for each in await resources(store, "Encounter")] == ["finished"] * 4


async def test_enhanced_messages_are_mapped_behind_the_answer(serve: Serve, store: Store) -> None:
    async with serve() as server, Client(*server.address) as client:
        answers = [
            await client.send(message("A08", pid(mrn=f"E{n}", nhs=""), pv1(visit=f"E{n}"), control=str(n), f15="AL", f16="NE"))
            for n in range(20)
        ]
        assert {parse(answer)["MSA-1"] for answer in answers} == {"CA"}
        while await records(store, "received"):
            await asyncio.sleep(0.01)
    assert len(await resources(store, "Patient")) == 20


async def test_stopping_answers_what_has_arrived(store: Store) -> None:
    server = MLLPServer(store, port=0, sandbox=True)
    stop = asyncio.Event()
    task = asyncio.create_task(server.run(stop))
    await server.ready.wait()
    async with Client(*server.address) as client:
        client._writer.write(frame(ADMISSION))
        await client._writer.drain()
        while not await records(store):
            await asyncio.sleep(0)
        stop.set()
        assert parse(await client.answer())["MSA-1"] == "AA"
    await asyncio.wait_for(task, 20)
    with contextlib.closing(socket.socket()) as probe:
        assert probe.connect_ex(server.address) != 0


async def test_another_library_s_client_understands_us(serve: Serve) -> None:
    from hl7.mllp import open_hl7_connection

    async with serve() as server:
        reader, writer = await open_hl7_connection(*server.address, encoding="utf-8")
        import hl7

        writer.writemessage(hl7.parse(ADMISSION.decode()))
        await writer.drain()
        answer = await asyncio.wait_for(reader.readmessage(), 10)
        assert str(answer.segment("MSA")[1]) == "AA"
        writer.close()


async def test_endless_noise_is_cut_off_after_answers(serve: Serve, store: Store) -> None:
    async with serve() as server, Client(*server.address) as client:
        answers = 0
        with pytest.raises(Unavailable):
            for _ in range(500):
                assert parse(await client.send_raw(b"noise" + b"\x0b\x1c\r"))["MSA-1"] in ("AE", "AR")
                answers += 1
                await client.answer()  # the empty frame has its own
    assert 0 < answers < 50
    assert len(await records(store)) < 50
