"""Leases as heads hold them, and movements of branches that are held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.leases.leased import World, head_of, put

import perdure
from perdure import errors, limits
from perdure.core.codec import pack, unpack
from perdure.core.head import Head, Lease
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.leases import with_lease, without_lease
from perdure.core.seal import Kind, Place, seal, unseal
from perdure.types import Movement


@pytest.mark.parametrize("what", ["rollback", "promote", "rename", "delete", "undo"])
def test_a_branch_that_is_held_is_not_moved(
    world: World, mine: perdure.Store, theirs: perdure.Store, what: str
) -> None:
    put(mine, "n", 1)
    put(mine, "n", 2)
    mine.fork("a", "what-if", at=1)
    mine.fork("a", "ahead", branch="what-if")
    put(mine, "n", 3, branch="ahead")
    moves: dict[str, Callable[[], Movement | None]] = {
        "rollback": lambda: mine.rollback("a", to=1, branch="ahead"),
        "promote": lambda: mine.promote("a", "ahead", into="what-if"),
        "rename": lambda: mine.rename_branch("a", "ahead", "other"),
        "delete": lambda: mine.delete_branch("a", "ahead"),
        "undo": lambda: mine.undo("a"),
    }
    branch = "what-if" if what == "promote" else "ahead"
    holder = theirs.open("a", branch=branch, exclusive=True)
    before = head_of(mine)
    with pytest.raises(errors.Busy, match="held exclusively"):
        moves[what]()
    assert head_of(mine) == before
    mine.fork("a", "beside", branch=branch)
    mine.undo("a")
    world.alive = False
    assert moves[what]() is not None
    assert mine.info("a").leases == ()
    holder.close()


def test_a_dry_run_tells_of_the_holder(mine: perdure.Store, theirs: perdure.Store) -> None:
    put(mine, "n", 1)
    put(mine, "n", 2)
    with theirs.open("a", exclusive=True):
        movement = mine.rollback("a", to=1, dry_run=True)
        assert movement is not None
        assert any("exclusively" in warning for warning in movement.warnings)


def test_a_copy_is_held_by_nobody(mine: perdure.Store) -> None:
    with mine.open("a", exclusive=True):
        assert mine.copy("a", "b").leases == ()
        mine.open("b", exclusive=True, wait=0).close()


LEASE = Lease(b"s" * 16, ("host", 1, "boot", "start"), 5, 6)


def stored(head: Head) -> Head:
    return open_head(seal_head(head, store=b"", key="a"), store=b"", key="a")


def test_a_head_without_leases_says_nothing_of_them() -> None:
    head = Head(bytes(16), 1, 1, bytes(16))
    held = with_lease(head, "main", LEASE)
    assert stored(held) == held
    assert without_lease(held, "main") == head
    assert len(seal_head(held, store=b"", key="a")) > len(seal_head(head, store=b"", key="a"))
    assert b"leases" not in seal_head(head, store=b"", key="a")


def test_what_a_newer_version_says_of_a_lease_is_kept_with_it() -> None:
    """P10: as long as it is the same session's."""
    place = Place(b"", b"a")

    def payload(head: Head) -> Any:
        blob = seal_head(head, store=b"", key="a")
        return unpack(unseal(Kind.HEAD, place, blob, limits.head_bytes_max))

    wire = payload(with_lease(Head(bytes(16), 1, 1, bytes(16)), "main", LEASE))
    wire["leases"]["main"].append("newer")
    head = open_head(seal(Kind.HEAD, place, pack(wire)), store=b"", key="a")
    again = with_lease(head, "main", replace(LEASE, renewed_us=9))
    assert payload(again)["leases"]["main"][2:] == [5, 9, "newer"]
    other = with_lease(head, "main", replace(LEASE, id=b"t" * 16))
    assert len(payload(other)["leases"]["main"]) == 4
