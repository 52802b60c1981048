"""The cache against a plain list: what is kept, in which order it goes, and that it has a bound."""

from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from perdure.cache import Cache

Calls: TypeAlias = list[tuple[str, int, int]]


class Plain:
    """Places and sizes, the one that was used last at the end."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.kept: list[tuple[int, int]] = []

    def get(self, place: int) -> int | None:
        for each in self.kept:
            if each[0] == place:
                self.kept.remove(each)
                self.kept.append(each)
                return each[1]
        return None

    def keep(self, place: int, size: int) -> None:
        self.kept = [each for each in self.kept if each[0] != place]
        if size <= self.bytes_max:
            self.kept.append((place, size))
        while sum(each[1] for each in self.kept) > self.bytes_max:
            del self.kept[0]


call = st.tuples(st.sampled_from(["get", "keep"]), st.integers(0, 4), st.integers(0, 50))
calls = st.lists(call, min_size=4, max_size=60)


@given(calls, st.integers(0, 150))
def test_what_was_used_last_is_kept_within_the_bound(made: Calls, bytes_max: int) -> None:
    cache, plain = Cache(bytes_max), Plain(bytes_max)
    for name, place, size in made:
        if name == "get":
            assert cache.get(place) == plain.get(place)
        else:
            cache.keep(place, size, size)
            plain.keep(place, size)
        assert cache.bytes == sum(each[1] for each in plain.kept) <= bytes_max
    assert [cache.get(place) for place in range(5)] == [plain.get(place) for place in range(5)]


@given(calls)
def test_nothing_is_kept_after_the_end(made: Calls) -> None:
    cache = Cache(100)
    found: list[Any] = []
    for name, place, size in made:
        if name == "keep":
            cache.keep(place, size, size)
            cache.close()
        found.append(cache.get(place))
    assert not any(each is not None for each in found)
    assert cache.bytes == 0
