"""Whatever differs can be shown: safe to print, within the width, and nothing of it left out."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import click
from hypothesis import example, given
from hypothesis import strategies as st

from perdure.cli.diff_sections import below, by_section, place, runs
from perdure.cli.diff_texts import places, shown
from perdure.cli.diff_view import stat, summary, view
from perdure.cli.output import width_of
from perdure.core.changes import apply
from perdure.core.diff import Difference, diff
from perdure.testing.strategies import changes_for
from perdure.testing.strategies import sections as states

WIDTH_MIN = 40


def named(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose sections have names that sections may have."""
    return {f"+{name}": value for name, value in state.items()}


def assert_shown(found: list[Difference], width: int) -> None:
    for form in (view, summary, stat):
        lines = list(form(found, width))
        assert bool(lines) == bool(found)
        assert all(line.isprintable() for line in lines)
        assert all(width_of(line) <= width for line in lines)
        coloured = list(form(found, width, colours=True))
        assert [click.unstyle(line) for line in coloured] == lines
        assert all(line.replace("\x1b", "").isprintable() for line in coloured)
        assert all(line.isprintable() for line in form(found))


@given(states(), states(), st.integers(WIDTH_MIN, 100))
def test_of_any_two_states(before: dict[str, Any], after: dict[str, Any], width: int) -> None:
    assert_shown(diff(named(before), named(after)), width)


@given(states(), st.data())
def test_of_a_state_and_what_edits_made_of_it(before: dict[str, Any], data: st.DataObject) -> None:
    after = deepcopy(before)
    for _ in range(data.draw(st.integers(1, 4))):
        apply(after, deepcopy(data.draw(changes_for(after))))
    found = diff(named(before), named(after))
    assert_shown(found, WIDTH_MIN)
    # Every difference is in one section, in one run, and found by the place that is shown of it.
    sections = by_section(found)
    assert sum(sum(each.counts().values()) for each in sections) == len(found)
    told = [each for section in sections for run in runs(section.differences) for each in run]
    assert sorted(map(id, told)) == sorted(map(id, found))
    for each in found:
        if each.path:
            assert each in below(found, place([each])) or "…" in place([each])


words = st.sampled_from(["one", "two", "three", "日本", "e\u0301", "\x1b[31m", "\n", " ", " ", "."])
texts = st.lists(words, max_size=60).map("".join)


@given(texts, texts, texts, texts, st.integers(WIDTH_MIN, 100))
@example("", "", "", "", WIDTH_MIN)
@example("a " * 90, "b", "", "c " * 90, WIDTH_MIN)
def test_places_in_texts_are_all_that_differs(
    start: str, old: str, new: str, end: str, width: int
) -> None:
    before, after = start + old + end, start + new + end
    at, made = 0, ""
    found = places(before, after)
    for each in found:
        made += before[at : each.old_start] + after[each.new_start : each.new_end]
        at = each.old_end
        for text, first, last in (
            (before, each.old_start, each.old_end),
            (after, each.new_start, each.new_end),
        ):
            line = shown(text, first, last, width)
            assert line.text.isprintable()
            assert 0 <= line.start <= line.end <= len(line.text)
    if found:
        assert made + before[at:] == after
