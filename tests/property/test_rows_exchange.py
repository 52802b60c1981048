"""Rows and pages of every backend are those of a plain model, whatever is stored and removed."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.backends import objects
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import (
    Committed,
    ListPages,
    ListRows,
    ReadState,
    RecordRow,
    Run,
)
from perdure.errors import StateExists
from perdure.testing.contract_kit import Writer
from perdure.testing.sim_stores import inline_bytes

NUMBER_MAX = 24

rows = st.builds(
    lambda line, number, count, size: RecordRow(line, number, b"r" * size, min(count, number)),
    st.integers(0, 1),
    st.integers(1, NUMBER_MAX),
    st.integers(1, 8),
    st.integers(0, 40),
)
runs = st.builds(Run, st.integers(0, 1), st.integers(0, NUMBER_MAX), st.integers(0, NUMBER_MAX + 1))
ids = st.sampled_from([b"", b"a", b"b", b"b\0", b"\xff"])


@dataclass(frozen=True)
class Step:
    """One commit, and the pages put before it."""

    rows: tuple[RecordRow, ...]
    removed: tuple[Run, ...]
    put: dict[bytes, bytes]
    dropped: tuple[bytes, ...]
    root: bytes | None
    after: int


steps = st.builds(
    Step,
    st.lists(rows, max_size=3).map(tuple),
    st.lists(runs, max_size=2).map(tuple),
    st.dictionaries(ids, st.binary(max_size=9), max_size=2),
    st.lists(ids, max_size=2).map(tuple),
    st.none() | ids,
    st.integers(0, NUMBER_MAX),
)


def numbers(row: RecordRow) -> set[int]:
    return set(range(row.number - row.count + 1, row.number + 1))


@dataclass
class Model:
    """All rows and pages of a state, in a list and a dict."""

    rows: list[RecordRow] = field(default_factory=list)
    pages: dict[bytes, bytes] = field(default_factory=dict)

    def takes(self, step: Step) -> bool:
        """Whether the commit takes effect; it then did."""
        left = [row for row in self.rows if not any(is_within(row, run) for run in step.removed)]
        for new in step.rows:
            if any(row.line == new.line and numbers(row) & numbers(new) for row in left):
                return False
            left.append(new)
        self.rows = left
        self.pages = {id_: blob for id_, blob in self.pages.items() if id_ not in step.dropped}
        return True

    def holding(self, line: int, first: int, last: int) -> list[RecordRow]:
        asked = set(range(first, last + 1))
        found = [row for row in self.rows if row.line == line and numbers(row) & asked]
        return sorted(found, key=lambda row: row.number)


def is_within(row: RecordRow, run: Run) -> bool:
    return row.line == run.line and numbers(row) <= set(range(run.first, run.last + 1))


def is_single_within_a_pack(model: Model, step: Step) -> bool:
    """What the contract leaves open: one record is compared by its number alone."""
    packs = [row for row in (*model.rows, *step.rows) if row.count > 1]
    return any(
        row.count == 1 and row.line == pack.line and row.number in numbers(pack) - {pack.number}
        for row in step.rows
        for pack in packs
    )


def compare(backend: Backend, writer: Writer, model: Model, after: int, root: bytes | None) -> None:
    state = backend.perform(ReadState(writer.key))
    assert list(state.records) == model.holding(0, after + 1, NUMBER_MAX)
    assert {page.id: page.blob for page in state.pages} == {
        id_: blob for id_, blob in model.pages.items() if id_ == root
    }
    for line in (0, 1):
        for first in range(0, NUMBER_MAX + 2, 3):
            for last in (first, first + 4, NUMBER_MAX):
                wanted = model.holding(line, first, last)
                found = writer.read(backend, line=line, first=first, last=last)
                assert list(found) == wanted
                newest = writer.read(backend, line=line, first=first, last=last, newest_first=True)
                assert list(newest) == wanted[::-1]
                listed = backend.perform(ListRows(writer.incarnation, line, first, last, 99))
                assert listed == tuple(
                    (row.number, row.count, len(row.blob), row.blob[:26]) for row in wanted
                )
    assert writer.pages(backend, *model.pages, b"never") == model.pages
    sizes = tuple(sorted((id_, len(blob)) for id_, blob in model.pages.items()))
    assert backend.perform(ListPages(writer.incarnation, None, 99)) == sizes


def run(backend: Backend, plan: list[Step]) -> None:
    writer, model = Writer(), Model()
    writer.save(backend)
    after, root = 0, None
    for step in plan:
        if is_single_within_a_pack(model, step):
            continue
        writer.put(backend, *step.put.items())
        model.pages |= step.put
        commit = writer.commit(
            rows=step.rows,
            removed=step.removed,
            dropped=step.dropped,
            page=step.root,
            after=step.after,
        )
        if model.takes(step):
            assert backend.perform(commit) == Committed()
            writer.took(commit)
            after, root = step.after, step.root
        else:
            with pytest.raises(StateExists):
                backend.perform(commit)
        compare(backend, writer, model, after, root)


def in_a_file(plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        backend = SqliteBackend(Path(directory) / "store.db")
        try:
            run(backend, plan)
            backend.compact()
        finally:
            backend.close()


def as_objects(plan: list[Step]) -> None:
    for inline in (0, 100, objects.inline_bytes_max):
        with inline_bytes(inline):
            run(ObjectBackend(), plan)


@pytest.mark.parametrize("keep", [lambda plan: run(MemoryBackend(), plan), as_objects, in_a_file])
@given(plan=st.lists(steps, min_size=1, max_size=8))
def test_rows_and_pages_are_those_of_the_model(
    keep: Callable[[list[Step]], None], plan: list[Step]
) -> None:
    keep(plan)
