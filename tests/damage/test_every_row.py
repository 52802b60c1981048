"""Every row of a small store, and every pair of them, is damaged: never a wrong value (P5).

What is left after one such damage, exactly, is in `test_isolation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import apsw
import pytest
from tests.damage.small import KEYS, OPTIONS, SHARE, Small

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
