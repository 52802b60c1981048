"""Keys out of parts: reversible, and never outside of the prefix that is before them."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure.naming import check_new

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
HARD = st.text(st.sampled_from("./%*\\ é\u0301\u200b\uff0f\u2044\x00\n2Fa"), min_size=1, max_size=8)
PARTS = st.lists(st.one_of(TEXTS, HARD), min_size=1, max_size=4)


@given(PARTS)
def test_parts_come_back(parts: list[str]) -> None:
    made = perdure.key(*parts)
    assert perdure.key_parts(made) == tuple(parts)
    assert made.count("/") == len(parts) - 1
    check_new(made)


@given(PARTS, PARTS)
def test_other_parts_are_another_key(one: list[str], other: list[str]) -> None:
    assert (perdure.key(*one) == perdure.key(*other)) == (one == other)
    both = (unicodedata.normalize("NFKC", perdure.key(*each)) for each in (one, other))
    assert len({each.count("/") for each in both}) == len({len(one), len(other)})


@given(PARTS)
def test_a_part_stays_below_its_prefix(parts: list[str]) -> None:
    made = perdure.key("support", *parts)
    assert made.startswith("support/")
    assert not {"", ".", ".."} & set(made.split("/"))
