"""What a commit on objects removes, and what meets it halfway: nothing that was put or read."""

from collections.abc import Callable

import pytest

from perdure.backends.bucket import Bucket
from perdure.backends.objects import ObjectBackend
from perdure.engine.requests import (
    Committed,
    Discard,
    ListStaged,
    Moved,
    PutPages,
    ReadState,
    RecordRow,
    Run,
    Stage,
)
from perdure.errors import StateExists
from perdure.testing.contract_kit import Writer
from perdure.testing.sim_stores import inline_bytes


class Watched(Bucket):
    """A bucket that calls `then` once, right after an operation on an object of some kind."""

    def __init__(self) -> None:
        super().__init__()
        self.after: tuple[str, str] | None = None
        self.then: Callable[[], object] = lambda: None

    def did(self, operation: str, name: str) -> None:
        if self.after and (operation, name.partition("/")[0]) == self.after:
            self.after = None
            self.then()

    def get(self, name: str) -> tuple[int, bytes] | None:
        found = super().get(name)
        self.did("get", name)
        return found

    def put(self, name: str, data: bytes, *, version: int | None = None) -> bool:
        done = super().put(name, data, version=version)
        self.did("put", name)
        return done

    def when(self, operation: str, kind: str, then: Callable[[], object]) -> None:
        self.after, self.then = (operation, kind), then


@pytest.fixture
def bucket() -> Watched:
    return Watched()


@pytest.fixture
def backend(bucket: Watched) -> ObjectBackend:
    backend = ObjectBackend()
    backend._bucket = bucket
    return backend


@pytest.fixture
def writer(backend: ObjectBackend) -> Writer:
    writer = Writer()
    writer.save(backend, b"one", b"two")
    writer.put(backend, (b"page", b"a page"))
    return writer


PAGE = {b"page": b"a page"}


@pytest.mark.parametrize(("operation", "kind"), [("get", "page"), ("put", "head")])
def test_a_page_put_again_while_a_commit_drops_it_stays(
    backend: ObjectBackend, bucket: Watched, writer: Writer, operation: str, kind: str
) -> None:
    bucket.when(operation, kind, lambda: writer.put(backend, (b"page", b"a page")))
    writer.save(backend, dropped=(b"page",))
    assert bucket.after is None
    assert writer.pages(backend, b"page") == PAGE


def test_a_commit_that_lost_drops_nothing(
    backend: ObjectBackend, bucket: Watched, writer: Writer
) -> None:
    rival = writer.commit(head=b"rival")
    late = writer.commit(dropped=(b"page",), removed=(Run(0, 1, 2),))
    # The rival comes when the token was compared, and nothing swapped.
    bucket.when("get", "page", lambda: backend.perform(rival))
    assert backend.perform(late) == Moved(rival.head)
    assert writer.pages(backend, b"page") == PAGE
    assert writer.read(backend) == tuple(writer.rows)


def test_rows_that_give_way_while_they_are_read_are_read_anew(
    backend: ObjectBackend, bucket: Watched, writer: Writer
) -> None:
    pack = RecordRow(0, 2, b"one and two", 2)
    with inline_bytes(0):
        writer.save(backend, b"three")  # all of them are in segments now
        pack = RecordRow(0, 3, b"one to three", 3)
        packing = writer.commit(rows=(pack,), removed=(Run(0, 1, 3),))
        bucket.when("get", "head", lambda: backend.perform(packing))
        assert backend.perform(ReadState(writer.key)).records == (pack,)
        bucket.when("get", "head", lambda: None)
        assert writer.read(backend) == (pack,)


def test_a_root_that_is_exchanged_while_it_is_read_is_read_anew(
    backend: ObjectBackend, bucket: Watched, writer: Writer
) -> None:
    writer.save(backend, page=b"page")
    (new,) = writer.put(backend, (b"new", b"a new page"))
    exchange = writer.commit(page=b"new", dropped=(b"page",))
    bucket.when("get", "head", lambda: backend.perform(exchange))
    state = backend.perform(ReadState(writer.key))
    assert (state.head, state.pages) == (exchange.head, (new,))


def test_a_segment_that_is_lost_leaves_the_others(backend: ObjectBackend, bucket: Watched) -> None:
    writer = Writer()
    with inline_bytes(0):
        for blob in (b"one", b"two"):
            writer.save(backend, blob)
    lost = bucket.names("segment/")[0]
    bucket.delete(lost)
    assert len(backend.perform(ReadState(writer.key)).records) == 1
    assert len(writer.read(backend)) == 1


def test_what_gave_way_leaves_no_objects(
    backend: ObjectBackend, bucket: Watched, writer: Writer
) -> None:
    with inline_bytes(0):
        for number in range(3, 9):
            writer.save(backend, b"%d" % number)
        pack = RecordRow(0, 7, b"one to seven", 7)
        writer.save(backend, rows=(pack,), removed=(Run(0, 1, 7),), dropped=(b"page",))
    assert writer.read(backend) == (pack, RecordRow(0, 8, b"8"))
    assert len(bucket.names("segment/")) == 2
    assert bucket.names("page/") == []


def test_a_segment_keeps_the_rows_that_do_not_give_way(
    backend: ObjectBackend, bucket: Watched
) -> None:
    writer = Writer()
    with inline_bytes(0):
        writer.save(backend, *(b"%d" % number for number in range(1, 7)))
    assert len(bucket.names("segment/")) == 1
    writer.save(backend, removed=(Run(0, 2, 4),))
    assert [row.blob for row in writer.read(backend)] == [b"1", b"5", b"6"]


def test_a_pack_is_an_object_of_its_own(
    backend: ObjectBackend, bucket: Watched, writer: Writer
) -> None:
    packs = (RecordRow(0, 2, b"one and two", 2), RecordRow(0, 4, b"three and four", 2))
    writer.save(backend, rows=packs, removed=(Run(0, 1, 2),))
    assert len(bucket.names("segment/")) == 2


def test_a_former_life_without_rows_is_still_named(backend: ObjectBackend, writer: Writer) -> None:
    former = Writer()
    former.incarnation = writer.incarnation
    writer.save(backend, removed=(Run(0, 1, 2),))
    writer.incarnation = Writer().incarnation
    writer.save(backend)
    backend.perform(Discard(former.incarnation))
    assert former.pages(backend, b"page") == PAGE
    assert backend.perform(ListStaged()) == ()
    with pytest.raises(StateExists):
        backend.perform(Stage(former.incarnation, (RecordRow(0, 1, b"late"),)))


def test_a_staging_that_was_named_leaves_no_mark(backend: ObjectBackend, bucket: Watched) -> None:
    writer = Writer()
    backend.perform(Stage(writer.incarnation, (RecordRow(0, 1, b"one"),), 5))
    assert backend.perform(ListStaged()) == ((writer.incarnation, 5),)
    assert backend.perform(writer.commit()) == Committed()
    assert bucket.names("staging/") == []
    backend.perform(PutPages(writer.incarnation, ()))
    assert backend.perform(ListStaged()) == ()


def test_two_who_stage_the_same_at_once_do_not_mix(backend: ObjectBackend, bucket: Watched) -> None:
    writer = Writer()
    ours = (RecordRow(0, 1, b"ours"), RecordRow(0, 2, b"ours"))
    theirs = Stage(writer.incarnation, (RecordRow(0, 2, b"theirs"),))
    bucket.when("put", "staged", lambda: backend.perform(theirs))
    with pytest.raises(StateExists):
        backend.perform(Stage(writer.incarnation, ours))
    writer.save(backend)
    assert writer.read(backend) == theirs.records
