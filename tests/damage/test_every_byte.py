"""Every byte and every page of a small store's file is damaged: never a wrong value (P5).

`PERDURE_FLIPS=all` takes each byte instead of one of a few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.damage.small import OPTIONS, SHARE, Small

PAGE = 512
Told = Callable[[str], None]


@pytest.fixture(scope="module", params=sorted(OPTIONS))
def made(request: pytest.FixtureRequest) -> Iterator[Small]:
    small = Small(OPTIONS[request.param])
    yield small
    small.close()


@pytest.fixture
def small(made: Small) -> Small:
    made.outcomes.clear()
    return made


def done(small: Small, cases: int, tell: Told) -> None:
    tell(f"{cases:,} cases of {len(small.bytes):,} bytes: {small.told()}")
    assert cases > 0
    assert sum(small.outcomes.values()) == 2 * cases
    assert small.outcomes.keys() - {"right", "not there"}


def test_what_is_whole_is_right(small: Small) -> None:
    with small.copy() as path:
        small.judge(path)
    assert small.outcomes == {"right": 2}


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("how", ["flipped", "zeroed"])
def test_a_byte_is(small: Small, how: str, part: int, tell: Told) -> None:
    cases = 0
    share = SHARE if how == "flipped" else 4 * SHARE
    for place in range(0, len(small.bytes), share)[part::4]:
        damaged = bytearray(small.bytes)
        damaged[place] = damaged[place] ^ (1 << place % 8) if how == "flipped" else 0
        with small.copy(damaged) as path:
            small.judge(path)
        cases += 1
    assert small.outcomes["right"]
    done(small, cases, tell)


@pytest.mark.parametrize("how", ["zeroed", "dropped", "duplicated", "cut"])
def test_a_page_is(small: Small, how: str, tell: Told) -> None:
    pages = [small.bytes[at : at + PAGE] for at in range(0, len(small.bytes), PAGE)]
    for number in range(len(pages)):
        changed = list(pages)
        match how:
            case "zeroed":
                changed[number] = bytes(PAGE)
            case "dropped":
                del changed[number]
            case "duplicated":
                changed[number : number + 1] = [pages[number]] * 2
            case "cut":
                del changed[number:]
        with small.copy(b"".join(changed)) as path:
            small.judge(path)
    done(small, len(pages), tell)


def test_two_pages_are_swapped(small: Small, tell: Told) -> None:
    pages = [small.bytes[at : at + PAGE] for at in range(0, len(small.bytes), PAGE)]
    pairs = [(one, two) for one in range(len(pages)) for two in range(one)][::SHARE]
    for one, two in pairs:
        changed = list(pages)
        changed[one], changed[two] = pages[two], pages[one]
        with small.copy(b"".join(changed)) as path:
            small.judge(path)
    done(small, len(pairs), tell)
