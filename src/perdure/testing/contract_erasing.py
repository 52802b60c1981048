"""The checks of the backend contract on erasures; each docstring is what it checks."""

from __future__ import annotations

import os
from collections.abc import Callable

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    Committed,
    Discard,
    Erase,
    ErasedRow,
    HeadRow,
    KeyRow,
    ListErased,
    ListHeads,
    ListHeld,
    ListPages,
    ListStaged,
    Moved,
    PageRow,
    PutPages,
    ReadErased,
    ReadHead,
    ReadKeys,
    ReadState,
    RecordRow,
    Run,
    Stage,
    Tail,
)
from perdure.errors import Erased
from perdure.testing.contract_kit import Make, Writer, must_be, must_raise, opened


def _lived(backend: Backend) -> Writer:
    """A state with rows, packs, pages and a key."""
    writer = Writer()
    key = KeyRow(writer.incarnation, b"wrapped")
    writer.save(backend, b"one", b"two", b"three", keys=(key,))
    pack = RecordRow(0, 2, b"one and two", 2)
    writer.save(backend, b"x" * 300_000, rows=(pack,), removed=(Run(0, 1, 2),))
    writer.put(backend, (b"page", b"of it"))
    return writer


def _erase(writer: Writer, *others: Writer) -> Erase:
    assert writer.token is not None
    lives = (*others, writer)
    rows = tuple(ErasedRow(each.incarnation, 7, b"receipt") for each in lives)
    return Erase(writer.key, writer.token, rows)


def _must_be_gone(backend: Backend, writer: Writer, what: str) -> None:
    incarnation = writer.incarnation
    asked: dict[str, Callable[[], object]] = {
        "head": lambda: backend.perform(ReadHead(writer.key)),
        "state": lambda: backend.perform(ReadState(writer.key)),
        "keys listed": lambda: [
            key for key, _ in backend.perform(ListHeads(writer.key, None, 9)) if key == writer.key
        ],
        "rows": lambda: writer.read(backend),
        "pages": lambda: writer.pages(backend, b"page", b"late"),
        "pages listed": lambda: backend.perform(ListPages(incarnation, None, 9)),
        "key": lambda: backend.perform(ReadKeys((incarnation,))),
        "stagings": lambda: [
            each for each, _ in backend.perform(ListStaged()) if each == incarnation
        ],
        "what is held": lambda: [
            each
            for each in backend.perform(ListHeld(incarnation, 1))
            if each.incarnation == incarnation
        ],
    }
    for name, ask in asked.items():
        answer = ask()
        must_be(tuple(answer) if isinstance(answer, list) else answer or (), (), f"{name}, {what}")


def check_erase(make: Make) -> None:
    """`Erase` removes all that there is of a state, for every connection, and keeps the receipt."""
    with opened(make) as backend, opened(make) as other:
        writer, stays = _lived(backend), _lived(backend)
        must_be(backend.perform(_erase(writer)), Committed(), "the erasure")
        for each in (backend, other):
            _must_be_gone(each, writer, "after it was erased")
            must_be(stays.read(each), tuple(stays.rows), "rows of another state")
            must_be(stays.pages(each, b"page"), {b"page": b"of it"}, "pages of another state")
            must_be(len(each.perform(ReadKeys((stays.incarnation,)))), 1, "keys of another state")
            found = each.perform(ReadErased((stays.incarnation, writer.incarnation)))
            must_be(found, (ErasedRow(writer.incarnation, 7, b"receipt"),), "the receipt")


def check_erase_compares(make: Make) -> None:
    """`Erase` removes nothing, and leaves no receipt, unless the head has the token it expects."""
    with opened(make) as backend:
        writer = _lived(backend)
        late = _erase(writer)
        now = writer.save(backend, b"saved meanwhile")
        must_be(backend.perform(late), Moved(now.head), "an erasure of a head that moved on")
        must_be(writer.read(backend), tuple(writer.rows), "the rows")
        must_be(backend.perform(ReadErased((writer.incarnation,))), (), "the receipt")
        must_be(backend.perform(_erase(writer)), Committed(), "the erasure")
        must_be(backend.perform(_erase(writer)), Moved(None), "the same again")


def check_erased_stays_gone(make: Make) -> None:
    """What comes late of an erased incarnation is refused by `Erased`, and nothing is stored."""
    with opened(make) as backend, opened(make) as other:
        writer = _lived(backend)
        save = writer.commit(b"late")
        backend.perform(_erase(writer))
        for each in (backend, other):
            must_be(each.perform(save), Moved(None), "a save onto the head that was")
            with must_raise(Erased, "pages put late"):
                each.perform(PutPages(writer.incarnation, (PageRow(b"late", b"page"),)))
            with must_raise(Erased, "records staged late"):
                each.perform(Stage(writer.incarnation, (RecordRow(0, 9, b"late"),)))
            writer.token = None
            with must_raise(Erased, "a state founded again"):
                each.perform(writer.commit(b"late"))
            _must_be_gone(each, writer, "after late requests")


def check_erased_name_is_free(make: Make) -> None:
    """The key of an erased state can be used at once, and what has it then is not fenced."""
    with opened(make) as backend:
        writer = _lived(backend)
        backend.perform(_erase(writer))
        again = Writer(writer.key)
        again.save(backend, b"anew")
        again.put(backend, (b"page", b"anew"))
        must_be(again.read(backend), tuple(again.rows), "the new state")
        must_be(writer.read(backend), (), "rows of the one that was erased")


def check_erase_one_life(make: Make) -> None:
    """`Erase` of a former life leaves the key to the head that it is given, with all it has."""
    with opened(make) as backend:
        former = _lived(backend)
        writer = Writer(former.key)
        writer.token = former.token
        writer.save(backend, b"of the present life")
        head, tail = HeadRow(os.urandom(16), b"without it"), Tail(writer.incarnation, 0, 0)
        assert writer.token is not None
        rows = (ErasedRow(former.incarnation, 7, b"receipt"),)
        answer = backend.perform(Erase(writer.key, writer.token, rows, head, tail))
        must_be(answer, Committed(), "the erasure")
        must_be(backend.perform(ReadHead(writer.key)), head, "the head")
        must_be(writer.read(backend), tuple(writer.rows), "rows of the present life")
        must_be(former.read(backend), (), "rows of the former life")
        must_be(former.pages(backend, b"page"), {}, "pages of the former life")
        writer.token = head.token
        writer.save(backend, b"and it goes on")


def check_erase_all_lives(make: Make) -> None:
    """`Erase` of several lives of a key leaves none of them, and a receipt of each."""
    with opened(make) as backend:
        former = _lived(backend)
        writer = Writer(former.key)
        writer.token = former.token
        writer.save(backend, b"of the present life")
        must_be(backend.perform(_erase(writer, former)), Committed(), "the erasure")
        for each in (former, writer):
            _must_be_gone(backend, each, "after all lives were erased")
            backend.perform(Discard(each.incarnation))
        order = sorted((former.incarnation, writer.incarnation))
        listed = backend.perform(ListErased(None, 10_000))
        must_be([each.incarnation for each in listed if each.incarnation in order], order, "order")
        after = backend.perform(ListErased(order[0], 10_000))
        must_be(order[0] in {each.incarnation for each in after}, False, "those after the first")
