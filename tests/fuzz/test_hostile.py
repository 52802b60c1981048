"""Hostile bytes with right checksums: errors of ours, soon, in bounded memory (P5, P12)."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.seeds import corpus, payloads
from tests.fuzz.targets import TARGETS, bombs, page, run

from perdure import errors
from perdure.core.compress import compress
from perdure.core.seal import COMPRESSED, FORMAT, MAGIC, Kind, Place, _header, _tag, unseal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SECONDS_MAX = 10.0
SEEDS = corpus()


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 60


def test_the_corpus_has_every_kind() -> None:
    assert {each[0] % len(TARGETS) for each in SEEDS} == set(range(len(TARGETS)))


def test_what_a_store_holds_is_taken_whole(tmp_path: Path) -> None:
    """Else nothing is tested: targets that refuse everything would pass."""
    targets = [data[0] for data in payloads(tmp_path / "a.db")]
    for data in payloads(tmp_path / "b.db"):
        if data[0] != TARGETS.index(page):  # which tries shapes that it is not of
            TARGETS[data[0]](data[1:])
    assert set(targets) == set(range(len(TARGETS)))


def test_what_was_found_once_is_met_since() -> None:
    for data in SEEDS:
        run(data)


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_bombs_take_no_memory(target: int) -> None:
    for bomb in bombs():
        for data in (bomb, bytes(64) + bomb):
            tracemalloc.start()
            began = time.monotonic()
            run(bytes([target]) + data)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert time.monotonic() - began < SECONDS_MAX
            assert peak < 64 * 2**20 + 200 * len(data), (target, bomb[:20], peak)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An input of the corpus, with a few edits: of bytes, of numbers, of parts of another input."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(1, max(1, len(data) - 1)))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del data[at : at + draw(st.integers(1, 40))]
            case 2:
                other = draw(st.sampled_from(SEEDS))
                start = draw(st.integers(0, len(other)))
                data[at:at] = other[start : start + draw(st.integers(1, 60))]
            case 3:
                data[at:at] = draw(st.sampled_from(SMALL_BOMBS))
            case 4:
                data[at : at + 1] = draw(st.sampled_from(MARKS))
            case _:
                data[at:at] = draw(st.binary(max_size=20))
    return bytes(data)


SMALL_BOMBS = [each for each in bombs() if len(each) < 100]
MARKS = [bytes([mark]) for mark in (0xC0, 0xC2, 0x80, 0x90, 0xA0, 0xFF, 0xD3, 0xCF, 0xDD, 0xC7)]


@given(mutated())
def test_nothing_but_errors_of_ours(data: bytes) -> None:
    run(data)


@given(st.integers(0, len(TARGETS) - 1), st.binary(max_size=400))
def test_nothing_but_errors_of_ours_for_anything(target: int, data: bytes) -> None:
    run(bytes([target]) + data)


def sealed(body: bytes, *, kind: Kind = Kind.PAGE) -> tuple[Place, bytes]:
    """A blob whose body is said to be compressed, with the right checksum."""
    place = Place(bytes(16), bytes(16), page=bytes(32))
    header = _header.pack(MAGIC, FORMAT, kind, COMPRESSED)
    return place, header + body + _tag(place, header, body)


def frames() -> list[tuple[str, bytes]]:
    """Bodies that are no frame of an honest size."""
    small, whole = compress(b"a" * 900), compress(bytes(2**26), 19)
    streamed = zstd.ZstdCompressor(level=3)
    unsized = streamed.compress(bytes(2**24)) + streamed.flush()
    assert small[4] >> 6 == 1  # its size is in two bytes, 256 less
    other = small[:5] + (700 - 256).to_bytes(2, "little") + small[7:]
    return [
        ("larger than is allowed", whole),
        ("of no stated size", unsized),
        ("cut short", small[:-3]),
        ("followed by more", small + b"more"),
        ("two frames", small * 2),
        ("no frame", b"not a frame"),
        ("of another size", other),
    ]


@pytest.mark.parametrize(("what", "body"), frames(), ids=lambda each: str(each)[:20])
def test_a_compressed_bomb_is_refused_before_it_is_unpacked(what: str, body: bytes) -> None:
    place, blob = sealed(body)
    tracemalloc.start()
    with pytest.raises(errors.Damaged):
        unseal(Kind.PAGE, place, blob, 2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22, what
