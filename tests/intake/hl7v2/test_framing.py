"""Frames come out whole however the network cuts them, and nothing that came is swallowed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.intake.hl7v2.mllp import Event, Framer, frame

A, B = b"MSH|^~\\&|a\r", b"MSH|^~\\&|b\r"


def fed(*pieces: bytes, max_bytes: int = 1000) -> list[Event]:
    framer = Framer(max_bytes)
    return [event for piece in pieces for event in framer.feed(piece)] + framer.end()


def test_two_frames_in_one_packet_and_one_frame_in_many() -> None:
    assert fed(frame(A) + frame(B)) == [Event(A), Event(B)]
    assert fed(*[bytes([byte]) for byte in frame(A) + frame(B)]) == [Event(A), Event(B)]


def test_the_last_carriage_return_may_be_missing() -> None:
    assert fed(frame(A)[:-1] + frame(B)[:-1]) == [Event(A), Event(B)]
    assert fed(frame(A)[:-1], b"\r", frame(B)) == [Event(A), Event(B)]


def test_line_ends_between_frames_are_nothing() -> None:
    assert fed(b"\r\n" + frame(A) + b"\r\n\r\n" + frame(B) + b"\n") == [Event(A), Event(B)]


def test_junk_between_frames_is_told() -> None:
    assert fed(frame(A) + b"MSH|lost" + frame(B)) == [Event(A), Event(b"MSH|lost", "outside-frame"), Event(B)]


def test_a_frame_that_never_ends_is_told_when_the_next_begins() -> None:
    assert fed(b"\x0b" + A + frame(B)) == [Event(A, "unfinished"), Event(B)]
    assert fed(b"\x0b" + A, b"\x0bM", b"SH" + B[3:] + b"\x1c\r") == [Event(A, "unfinished"), Event(B)]


def test_a_frame_cut_by_the_end_of_the_connection_is_told() -> None:
    assert fed(b"\x0b" + A[:5]) == [Event(A[:5], "unfinished")]
    assert fed(b"MSH|never framed") == [Event(b"MSH|never framed", "outside-frame")]


def test_a_frame_over_the_cap_is_told_once_and_memory_stays_bounded() -> None:
    framer = Framer(1000)
    events = framer.feed(b"\x0b" + A)
    for _ in range(1000):
        events += framer.feed(b"x" * 1000)
        assert len(framer._buffer) < 3000
    events += framer.feed(b"\x1c\r" + frame(B))
    assert [event.fault for event in events] == ["too-long", ""]
    assert events[1].data == B


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda data: not set(data) & {0x0B, 0x1C}), max_size=6), st.data())
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_the_same_frames(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(*pieces) == [Event(message) for message in messages]


@given(st.binary(max_size=400), st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all_leave_the_framer_able_to_read_the_next_frame(junk: bytes, data: st.DataObject) -> None:
    framer = Framer(1000)
    cut = data.draw(st.integers(0, len(junk)))
    framer.feed(junk[:cut])
    framer.feed(junk[cut:])
    framer.feed(b"\x1c\r")  # whatever was open is closed
    assert framer.feed(frame(B))[-1] == Event(B)
