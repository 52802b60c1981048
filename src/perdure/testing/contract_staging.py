"""The checks of the backend contract on stagings; each docstring is what it checks."""

from __future__ import annotations

import os

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    Discard,
    Held,
    ListHeld,
    ListPages,
    ListStaged,
    ReadState,
    RecordRow,
    Stage,
    StateRows,
)
from perdure.errors import StateExists
from perdure.testing.contract_kit import Make, Writer, must_be, must_raise, opened


def check_staged_is_invisible(make: Make) -> None:
    """Staged records are invisible until a head names their incarnation; then all are there."""
    with opened(make) as backend:
        writer = Writer()
        rows = tuple(RecordRow(0, number, b"%d" % number) for number in range(1, 6))
        backend.perform(Stage(writer.incarnation, rows[:3]))
        backend.perform(Stage(writer.incarnation, rows[3:]))
        must_be(writer.read(backend), (), "before a head names them")
        commit = writer.save(backend)
        must_be(writer.read(backend), rows, "after a head names them")
        must_be(backend.perform(ReadState(writer.key)), StateRows(commit.head, rows), "the state")


def check_stage_never_replaces(make: Make) -> None:
    """`Stage` raises `StateExists` if a place is taken, and then stores none of its records."""
    with opened(make) as backend:
        writer = Writer()
        backend.perform(Stage(writer.incarnation, (RecordRow(0, 2, b"two"),)))
        again = (RecordRow(0, 1, b"one"), RecordRow(0, 2, b"other"))
        with must_raise(StateExists, "a staged place was taken"):
            backend.perform(Stage(writer.incarnation, again))
        writer.save(backend)
        must_be(writer.read(backend), (RecordRow(0, 2, b"two"),), "what was staged")
        with must_raise(StateExists, "staging into a state that is there"):
            backend.perform(Stage(writer.incarnation, (RecordRow(0, 2, b"late"),)))
        must_be(writer.read(backend), (RecordRow(0, 2, b"two"),), "the state")


def check_staged_packs_and_pages(make: Make) -> None:
    """Rows of many records and pages can be staged, in any order, and are there when named."""
    with opened(make) as backend:
        writer = Writer()
        writer.put(backend, (b"early", b"page"))
        rows = (RecordRow(0, 7, b"one to seven", 7), RecordRow(0, 8, b"eight"))
        backend.perform(Stage(writer.incarnation, rows))
        for taken in (RecordRow(0, 3, b"inside", 2), RecordRow(0, 12, b"across", 5)):
            again = (RecordRow(0, 20, b"twenty"), taken)
            with must_raise(StateExists, "a place in a staged row was taken"):
                backend.perform(Stage(writer.incarnation, again))
        root = writer.put(backend, (b"late", b"root"))
        must_be(writer.read(backend), (), "rows before a head names them")
        commit = writer.save(backend, page=b"late")
        must_be(writer.read(backend), rows, "rows after a head names them")
        state = StateRows(commit.head, rows, root)
        must_be(backend.perform(ReadState(writer.key)), state, "the state")
        wanted = {b"early": b"page", b"late": b"root"}
        must_be(writer.pages(backend, b"early", b"late"), wanted, "the pages")


def check_a_state_is_never_staged(make: Make) -> None:
    """Pages put for a state that is there, whatever it holds, hide and stage nothing of it."""
    with opened(make) as backend:
        writer = Writer()
        writer.save(backend)
        writer.put(backend, (b"page", b"of a state without records"))
        must_be(_staged(backend).get(writer.incarnation), None, "a state among the stagings")
        writer.save(backend, b"one")
        must_be(writer.read(backend), tuple(writer.rows), "the records")
        with must_raise(StateExists, "staging into a state that is there"):
            backend.perform(Stage(writer.incarnation, (RecordRow(0, 2, b"late"),)))
        backend.perform(Discard(writer.incarnation))
        must_be(writer.pages(backend, b"page"), {b"page": b"of a state without records"}, "pages")


def check_list_staged(make: Make) -> None:
    """`ListStaged` tells what no head names, with the latest time that a `Stage` of it told."""
    with opened(make) as backend:
        named, given_up, other = Writer(), Writer(), Writer()
        for number, (writer, at_us) in enumerate(((named, 5), (given_up, 7), (given_up, 6))):
            backend.perform(Stage(writer.incarnation, (RecordRow(0, number + 1, b"r"),), at_us))
        other.put(backend, (b"page", b"and no record"))
        found = _staged(backend)
        wanted = {named.incarnation: 5, given_up.incarnation: 7, other.incarnation: 0}
        must_be({key: found.get(key) for key in wanted}, wanted, "stagings and their times")
        must_be(list(found), sorted(found), "the order")
        named.save(backend)
        for writer in (given_up, other):
            backend.perform(Discard(writer.incarnation))
        left = set(wanted) & set(_staged(backend))
        must_be(left, set(), "stagings, once they were named or given up")


def _staged(backend: Backend) -> dict[bytes, int]:
    return dict(backend.perform(ListStaged()))


def check_discard(make: Make) -> None:
    """`Discard` removes a staging given up, its pages too, and nothing that a head names."""
    with opened(make) as backend:
        writer, other = Writer(), Writer()
        other.save(backend, b"kept")
        other.put(backend, (b"page", b"kept"))
        backend.perform(Stage(writer.incarnation, (RecordRow(0, 1, b"given up"),)))
        writer.put(backend, (b"page", b"given up"))
        for incarnation in (writer.incarnation, other.incarnation, os.urandom(16)):
            backend.perform(Discard(incarnation))
        must_be(other.read(backend), tuple(other.rows), "a state's records")
        must_be(other.pages(backend, b"page"), {b"page": b"kept"}, "a state's pages")
        must_be(writer.pages(backend, b"page"), {}, "pages given up")
        must_be(backend.perform(ListPages(writer.incarnation, None, 9)), (), "the list of them")
        backend.perform(Stage(writer.incarnation, (RecordRow(0, 1, b"anew"),)))
        writer.save(backend)
        must_be(writer.read(backend), (RecordRow(0, 1, b"anew"),), "staged anew")


def check_list_held(make: Make) -> None:
    """`ListHeld` tells the rows of each line and the pages of every incarnation, staged or not."""
    with opened(make) as backend:
        writer, staged, former = Writer(), Writer(), Writer()
        former.save(backend, b"a former life")
        writer.key, writer.token = former.key, former.token
        pack = RecordRow(0, 4, b"one to four", 4)
        writer.save(backend, rows=(pack, RecordRow(0, 5, b"five"), RecordRow(2, 9, b"nine")))
        writer.put(backend, (b"a", b"page"), (b"b", b"another"))
        backend.perform(Stage(staged.incarnation, (RecordRow(0, 1, b"staged"),)))
        wanted = {
            writer.incarnation: (
                Held(writer.incarnation, None, 2, 0, 11),
                Held(writer.incarnation, 0, 2, 5, 15),
                Held(writer.incarnation, 2, 1, 9, 4),
            ),
            staged.incarnation: (Held(staged.incarnation, 0, 1, 1, 6),),
            former.incarnation: (Held(former.incarnation, 0, 1, 1, 13),),
        }
        for incarnation, held in wanted.items():
            must_be(backend.perform(ListHeld(incarnation, 1)), held, "of one incarnation")
        order = sorted(wanted)
        found = backend.perform(ListHeld(order[0], 10_000))
        mine = tuple(each for each in found if each.incarnation in wanted)
        must_be(mine, tuple(held for each in order for held in wanted[each]), "of all, in order")
        after = backend.perform(ListHeld(order[-1] + b"\0", 1))
        must_be({each.incarnation for each in after} & wanted.keys(), set(), "those after the last")
