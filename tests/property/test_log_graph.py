"""The graph of `perdure log --graph`, read back from its rails, is the one that was drawn."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from perdure.cli.graph import Row, graph, reachable
from perdure.types import Checkpoint

START = datetime(2026, 11, 3, tzinfo=UTC)


def checkpoint(name: int, number: int, parent: int | None, merged: int | None = None) -> Checkpoint:
    return Checkpoint(
        key="a",
        branch="main",
        number=number,
        id=f"id{name}",
        time=START,
        session="",
        hash=f"h{name}",
        parent=f"h{parent}" if parent is not None else None,
        merged=f"id{merged}" if merged is not None else None,
    )


@st.composite
def histories(draw: st.DrawFn, *, merges: bool) -> list[Checkpoint]:
    """Checkpoints in the order in which they were saved, each on any that were there."""
    made = [checkpoint(0, 1, None)]
    for name in range(1, draw(st.integers(1, 25))):
        parent = draw(st.integers(max(0, name - draw(st.sampled_from([1, 3, 25]))), name - 1))
        merged = draw(st.integers(0, name - 1)) if merges and draw(st.booleans()) else None
        merged = merged if merged != parent else None
        made.append(checkpoint(name, made[parent].number + 1, parent, merged))
    return made


def down(rows: Sequence[Row], at: int, column: int) -> str | None:
    """The hash that a rail leads to from below a row; None: to what is not shown."""
    for row in rows[at + 1 :]:
        rails = row.rails.ljust(column + 1)
        if row.checkpoint is None:
            if rails[column] == ":":
                return None
            if rails[column] == " ":  # it ends here, in another rail
                assert rails[column - 1] == "/"
                column -= 2
                while column and rails[column - 1] == "_":
                    column -= 2
            assert rails[column] == "|"
        elif rails[column] == "*":
            return row.checkpoint.hash
        else:
            assert rails[column] in "|+"
    raise AssertionError("a rail leads nowhere")


def drawn(rows: Sequence[Row]) -> dict[str, tuple[str | None, str | None]]:
    """By hash, what the rails say that it came from, and what it merged."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for at, row in enumerate(rows):
        if row.checkpoint is None:
            continue
        parent = down(rows, at, row.rails.index("*")) if row.checkpoint.parent else None
        assert row.checkpoint.hash not in found
        arms = [place for place, mark in enumerate(row.rails) if mark in ".+"]
        found[row.checkpoint.hash] = parent, down(rows, at, arms[0]) if arms else None
        assert len(arms) <= 1
    return found


def expected(shown: Sequence[Checkpoint]) -> dict[str, tuple[str | None, str | None]]:
    known = {each.hash for each in shown}
    merges = {each.id: each.hash for each in shown}
    return {
        each.hash: (
            each.parent if each.parent in known else None,
            merges.get(each.merged) if each.merged is not None else None,
        )
        for each in shown
    }


@given(histories(merges=False), st.data())
def test_rails_lead_from_each_checkpoint_to_its_parent(
    made: list[Checkpoint], data: st.DataObject
) -> None:
    first = data.draw(st.sampled_from(made)).hash
    rows = [*graph(made[::-1], first)]
    assert drawn(rows) == expected(made)
    assert len([row for row in rows if row.checkpoint is not None]) == len(made)
    # The branch that is wanted there is at the left, all the way.
    own = reachable(made, [first])
    columns = [
        row.rails.index("*") for row in rows if row.checkpoint and row.checkpoint.hash in own
    ]
    assert set(columns) == {0}


@given(histories(merges=True), st.integers(0, 24))
def test_rails_lead_to_what_was_merged_also_on_a_page(made: list[Checkpoint], hidden: int) -> None:
    shown = made[hidden:] or made
    rows = [*graph(shown[::-1], shown[-1].hash)]
    assert drawn(rows) == expected(shown)


@given(histories(merges=True), st.data())
def test_what_a_branch_has_is_what_it_came_from(
    made: list[Checkpoint], data: st.DataObject
) -> None:
    tip = data.draw(st.sampled_from(made))
    found, grew = {tip.hash}, True
    while grew:
        more = {each for one in made if one.hash in found for each in expected(made)[one.hash]}
        grew = not (more - {None}) <= found
        found |= {each for each in more if each is not None}
    assert reachable(made, [tip.hash]) == found


def test_a_fork_at_every_checkpoint_takes_two_rails() -> None:
    size = 5000
    main = [checkpoint(name, name + 1, name - 1 if name else None) for name in range(size)]
    forks = [checkpoint(size + name, name + 2, name) for name in range(size)]
    for first in (main[-1].hash, None):
        rows = [*graph([*forks, *main[::-1]], first)]
        assert max(len(row.rails) for row in rows) == 3
        assert len(rows) == 3 * size - 1  # of each but the newest, a line where its rail ends

    trunk = checkpoint(2 * size, 2, 0)
    rows = [*graph([trunk, *forks, *main[::-1]], trunk.hash)]
    assert rows[0].checkpoint == trunk
    assert max(len(row.rails) for row in rows) == 5


def test_many_forks_of_one_checkpoint_take_two_rails() -> None:
    size = 5000
    forks = [checkpoint(name, 2, 0) for name in range(1, size)]
    rows = [*graph([*forks, checkpoint(0, 1, None)])]
    assert max(len(row.rails) for row in rows) == 3


def test_two_branches_that_merge_again_and_again_take_few_rails() -> None:
    size, made, tips = 6000, [checkpoint(0, 1, None)], [0, 0]
    for name in range(1, size):
        own = int(name % 3 == 0)
        merged = tips[1] if own == 0 and name % 10 == 0 else None
        made.append(checkpoint(name, made[tips[own]].number + 1, tips[own], merged))
        tips[own] = name
    rows = [*graph(made[::-1], f"h{tips[0]}")]
    assert max(len(row.rails) for row in rows) <= 5
