"""One thing is damaged, whichever it is: exactly what is lost by it, and that all else opens (P5).

A page or a snapshot above the base costs nothing while the log is there. A page and the log behind
it cost the sections that the page is of. A record costs the checkpoints that it leads to, up to the
next snapshot; above the newest snapshot that is all that comes after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.damage.hurting import SECTIONS, grown
from tests.unit.maintained import head_of, pages_of

import perdure
from perdure import errors
from perdure.core.head import MAIN
from perdure.core.page import Ref
from perdure.core.tree_read import reachable, read_root
from perdure.engine.pages import walk
from perdure.testing.sim_stores import small_world

Told = Callable[[str], None]
OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "keyed": {"key": bytes(range(32))}}
WAYS = ("DELETE FROM pages WHERE id = ?", "UPDATE pages SET blob = x'' WHERE id = ?")


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"maintenance": "off", **OPTIONS[request.param]}


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_world():
        yield


def changed(path: Path, sql: str, *rows: tuple[Any, ...]) -> None:
    with closing(apsw.Connection(str(path))) as base, base:
        base.executemany(sql, rows)


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of a store that nobody has open, to be hurt."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    yield copy
    for each in path.parent.glob("copy.db*"):
        each.unlink()


# ---- pages and snapshots --------------------------------------------------------------------


def test_every_page_above_the_base_is_healed(
    tmp_path: Path, options: dict[str, Any], tell: Told
) -> None:
    """Each page in turn, damaged or missing, with the log as it is: all of it comes back."""
    path, healed = tmp_path / "a.db", 0
    with perdure.Store(path, **options) as store:
        states = grown(store, 5)
        store.maintain("a")
        pages = sorted(pages_of(store))
        for at, page in enumerate(pages):
            changed(path, WAYS[at % 2], (page,))
            with perdure.Store(path, **options) as reader:  # which has read nothing yet
                assert reader.open("a").state.plain() == states[-1]
                assert not reader.verify("a")[0].ok
                assert reader.verify("a", repair=True, backup=False)[0].ok
            assert sorted(pages_of(store)) == pages
            healed += 1
    tell(f"{healed} of {len(pages)} damaged pages were healed")
    assert healed == len(pages) >= 20


def test_every_snapshot_above_the_base_is_healed(
    tmp_path: Path, options: dict[str, Any], tell: Told
) -> None:
    """All pages of each snapshot in turn: every checkpoint is read, and the pages come back."""
    path, healed = tmp_path / "a.db", 0
    with perdure.Store(path, **options) as store:
        states = kept(store)
        snapshots = head_of(store).branches[MAIN].snapshots
        pages = [pages_of_root(store, each.root) for each in snapshots]
        before = pages_of(store)
    for at, own in enumerate(pages):
        changed(path, WAYS[at % 2], *((page,) for page in own))
        with perdure.Store(path, **options) as store:
            assert store.open("a").state.plain() == states[-1]
            assert damaged_of(store, states) == set()
            assert store.verify("a", repair=True, backup=False)[0].ok
            assert pages_of(store) == before
            healed += 1
    tell(f"{healed} of {len(pages)} damaged snapshots were healed")
    assert healed == len(pages) >= 2


def test_a_page_and_the_log_behind_it_cost_the_sections_it_is_of(
    tmp_path: Path, options: dict[str, Any], tell: Told
) -> None:
    """Where the log is damaged too: each page of each section in turn, and those above them."""
    path, refused = tmp_path / "a.db", 0
    with perdure.Store(path, **options) as store:
        states = kept(store)
        newest = head_of(store).branches[MAIN].newest
        of = pages_of_sections(store, newest.root)
        above = pages_of_root(store, newest.root).difference(*of.values())
    changed(path, "UPDATE records SET blob = zeroblob(20) WHERE number <= ?", (newest.number,))
    pages = sorted(set().union(*of.values()))
    for at, page in enumerate(pages):
        lost = {name for name in SECTIONS if page in of[name]}
        with copied(path) as copy:
            changed(copy, WAYS[at % 2], (page,))
            with perdure.Store(copy, **options) as store, store.open("a") as session:
                for name in lost:
                    with pytest.raises(errors.SectionDamaged, match=name):
                        session.state[name]
                left = {name: session.state[name] for name in states[-1] if name not in lost}
                assert left == {name: states[-1][name] for name in left}
                session.state["n"] = "saved all the same"
        refused += len(lost)
    for page in above:  # nothing tells which sections there are
        with copied(path) as copy:
            changed(copy, WAYS[0], (page,))
            with perdure.Store(copy, **options) as store, pytest.raises(errors.Damaged):
                store.open("a")
    tell(
        f"{len(pages)} pages in turn: {refused} sections refused, all others opened; "
        f"{len(above)} above them, by which all go"
    )
    assert refused >= len(pages) >= 20
    assert len(above) >= 1


# ---- records --------------------------------------------------------------------------------


def test_one_damaged_record_costs_exactly_what_it_leads_to(
    tmp_path: Path, options: dict[str, Any], tell: Told
) -> None:
    """Each row of records in turn; every checkpoint is looked at, and all that are lost are told.

    Below the newest snapshot the state opens as ever. Above it, nobody can know what the record
    changed: the state opens by `on_damage="last_good"`, just before it.
    """
    path = tmp_path / "a.db"
    with perdure.Store(path, **options) as store:
        states = kept(store)
        snapshots = [each.number for each in head_of(store).branches[MAIN].snapshots]
    with closing(apsw.Connection(str(path))) as base:
        rows = list(base.execute("SELECT number - count + 1, number FROM records ORDER BY number"))
    opened = fallen = lost = 0
    for first, last in rows:
        wanted = led_to(range(first, last + 1), snapshots, len(states) - 1)
        lost += len(wanted)
        with copied(path) as copy:
            changed(copy, "UPDATE records SET blob = zeroblob(20) WHERE number = ?", (last,))
            with perdure.Store(copy, **options) as store:
                assert damaged_of(store, states) == wanted
                (verified,) = store.verify("a")
                assert [(each.first, each.last) for each in verified.damage] == [(first, last)]
                if last <= max(snapshots):
                    assert store.open("a").state.plain() == states[-1]
                    opened += 1
                else:
                    with pytest.raises(errors.Damaged):
                        store.open("a")
                    with store.open("a", on_damage="last_good") as session:
                        assert session.state.plain() == states[first - 1]
                    fallen += 1
    tell(
        f"{len(rows)} rows in turn: {opened} opened, {fallen} fell back to the one before; "
        f"{lost} of {len(rows) * (len(states) - 1)} checkpoints lost"
    )
    assert fallen == len(states) - 1 - max(snapshots) >= 4
    assert opened == len(rows) - fallen >= 3


def led_to(row: Collection[int], snapshots: Collection[int], newest: int) -> set[int]:
    """The checkpoints that nothing gives back without these records.

    Those of the records, and those that are replayed over one of them: from the newest snapshot
    that is not after them.
    """
    found = set(row)
    for at in range(1, newest + 1):
        base = max((each for each in snapshots if each <= at), default=0)
        found |= {at} if any(base < each <= at for each in row) else set()
    return found


# ---- stores ---------------------------------------------------------------------------------


def kept(store: perdure.Store) -> list[dict[str, Any]]:
    """A state with packs, two snapshots and single records after the newer; all its checkpoints."""
    states = grown(store, 6)
    for saves in (9, 5, 4):
        store.maintain("a")
        with store.open("a") as session:
            for n in range(saves):
                session.state["n"] = n
                session.save()
                states.append(session.state.plain())
    return states


def damaged_of(store: perdure.Store, states: list[dict[str, Any]]) -> set[int]:
    """The checkpoints that are refused as damaged; any other has to be what it was."""
    found = set()
    for number in range(1, len(states)):
        try:
            assert store.at("a", number).plain() == states[number]
        except errors.Damaged:
            found.add(number)
    return found


def pages_of_root(store: perdure.Store, root: Ref) -> set[bytes]:
    """The pages of one tree."""
    site, head = store._site("a").stored(), head_of(store)
    return set(store._driver.run(walk(site, head.incarnation, reachable([root]))))


def pages_of_sections(store: perdure.Store, root: Ref) -> dict[str, set[bytes]]:
    """The pages of each section that has pages of its own in a snapshot."""
    site, head = store._site("a").stored(), head_of(store)
    base = store._driver.run(walk(site, head.incarnation, read_root(root)))
    return {name: pages_of_root(store, each) for name, each in base.items() if type(each) is Ref}
