"""Every row of a small store, and every pair of them, is damaged: never a wrong value (P5).

And what is left: one damaged page or snapshot above a base costs nothing, one damaged record only
what no snapshot after it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.damage.hurting import grown
from tests.damage.small import KEYS, OPTIONS, SHARE, Small
from tests.unit.maintained import head_of, pages_of

import perdure
from perdure import errors, limits
from perdure.core.head import MAIN
from perdure.testing.sim_stores import small_world

Told = Callable[[str], None]
TABLES = {"heads": "head", "records": "blob", "pages": "blob", "perdure": "value"}
"""By table, the column that holds its bytes."""
NAMES = {"heads": "key", "records": "rowid", "pages": "rowid", "perdure": "name"}


@pytest.fixture(params=sorted(OPTIONS))
def small(request: pytest.FixtureRequest) -> Iterator[Small]:
    made = Small(OPTIONS[request.param])
    yield made
    made.close()


def rows_of(small: Small, table: str) -> list[Any]:
    base = apsw.Connection(str(small.path))
    names = [name for (name,) in base.execute(f"SELECT {NAMES[table]} FROM {table}")]
    base.close()
    return names


def judged(small: Small, *changes: tuple[str, tuple[Any, ...]]) -> None:
    """Make changes by SQL in a copy, and read all of it."""
    with small.copy() as path:
        base = apsw.Connection(str(path))
        with base:
            for change, values in changes:
                base.execute(change, values)
        base.close()
        small.judge(path)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_flipped_zeroed_emptied_or_dropped(small: Small, table: str, tell: Told) -> None:
    column, name, cases = TABLES[table], NAMES[table], 0
    becomes = [
        f"CAST(x'ff' || substr({column}, 2) AS BLOB)",
        f"CAST(substr({column}, 1, length({column}) - 1) || x'ee' AS BLOB)",
        f"zeroblob(length({column}))",
        "x''",
    ]
    for row in rows_of(small, table):
        for value in becomes:
            judged(small, (f"UPDATE {table} SET {column} = {value} WHERE {name} = ?", (row,)))
        judged(small, (f"DELETE FROM {table} WHERE {name} = ?", (row,)))
        cases += len(becomes) + 1
    tell(f"{cases} cases in {table}: {small.told()}")
    assert cases >= 10
    assert sum(small.outcomes.values()) == len(KEYS) * cases
    assert small.outcomes["right"] or table == "perdure"


@pytest.mark.parametrize("table", ["heads", "records", "pages"])
def test_a_row_is_put_in_place_of_another_or_exchanged(
    small: Small, table: str, tell: Told
) -> None:
    column, name = TABLES[table], NAMES[table]
    pairs = list(permutations(rows_of(small, table), 2))
    chosen = pairs[:: max(1, SHARE // 2)] if len(pairs) > 50 else pairs
    for one, two in chosen:
        old = f"SELECT {column} FROM {table} AS other WHERE other.{name} = ?"
        judged(small, (f"UPDATE {table} SET {column} = ({old}) WHERE {name} = ?", (one, two)))
        base = apsw.Connection(str(small.path))
        blobs = [base.execute(f"{old} ", (each,)).get for each in (one, two)]
        base.close()
        put = f"UPDATE {table} SET {column} = ? WHERE {name} = ?"
        judged(small, (put, (blobs[1], one)), (put, (blobs[0], two)))
    tell(f"{len(chosen)} of {len(pairs)} pairs in {table}: {small.told()}")
    assert sum(small.outcomes.values()) == 2 * len(KEYS) * len(chosen)
    assert len(chosen) >= 2


def test_each_page_above_the_base_is_healed(tmp_path: Path, tell: Told) -> None:
    """Any one page, damaged or missing, with the log as it is: all of it comes back."""
    path = tmp_path / "a.db"
    with small_world():
        with perdure.Store(path, maintenance="off") as store:
            states = grown(store, 12)
            store.maintain("a")
            pages = sorted(pages_of(store))
        changes = ("DELETE FROM pages WHERE id = ?", "UPDATE pages SET blob = x'' WHERE id = ?")
        cases = [(change, id_) for id_ in pages for change in changes]
        cases = cases if SHARE == 1 else [cases[at] for at in range(0, len(cases), 3)]
        for change, id_ in cases:
            base = apsw.Connection(str(path))
            base.execute(change, (id_,))
            base.close()
            with perdure.Store(path, maintenance="off") as store:
                assert store.open("a").state.plain() == states[-1]
                assert not store.verify("a")[0].ok
                assert store.verify("a", repair=True, backup=False)[0].ok
                assert sorted(pages_of(store)) == pages
    tell(f"{len(cases)} of {len(cases)} were healed, of {len(pages)} pages")
    assert len(cases) >= 20


def test_one_damaged_record_costs_only_what_no_snapshot_after_it_has(
    tmp_path: Path, tell: Told
) -> None:
    """Each row of records in turn; the newest state opens where a snapshot is after it."""
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, limits.tail_records_max + 2)
        store.maintain("a")
        states += grown_on(store, 4)
        newest = head_of(store).branches[MAIN].newest.number
    base = apsw.Connection(str(path))
    rows = list(base.execute("SELECT rowid, number, count, blob FROM records ORDER BY number"))
    opened, closed, readable = 0, 0, 0
    for row, number, count, blob in rows:
        base.execute("UPDATE records SET blob = zeroblob(20) WHERE rowid = ?", (row,))
        with perdure.Store(path, maintenance="off") as store:
            if number <= newest:
                assert store.open("a").state.plain() == states[-1]
                opened += 1
            else:
                with pytest.raises(errors.Damaged):
                    store.open("a")
                closed += 1
            for at in range(1, len(states)):
                is_lost = number - count < at <= number or (at > number > newest)
                with suppress(errors.Damaged):
                    assert store.at("a", at).plain() == states[at]
                    assert not is_lost
                    readable += 1
        base.execute("UPDATE records SET blob = ? WHERE rowid = ?", (blob, row))
    base.close()
    tell(f"{len(rows)} rows in turn: {opened} opened, {closed} closed, {readable} states read")
    assert opened >= 1
    assert closed == len([row for row in rows if row[1] > newest]) >= 4


def grown_on(store: perdure.Store, saves: int) -> list[dict[str, Any]]:
    states = []
    with store.open("a") as session:
        for n in range(saves):
            session.state["n"] = n
            session.save()
            states.append(session.state.plain())
    return states
