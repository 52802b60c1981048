"""The layers before a backend keep the contract too: those that encrypt, and those with an anchor.

Left out is what a layer answers otherwise on purpose; why, stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from tests.contract.sealing import Family, Sealing

from perdure.anchors import FileAnchor
from perdure.anchors.backend import AnchoredBackend
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.core.seal import HEADER_BYTES, TAG_BYTES
from perdure.keys import LocalKey
from perdure.keys.backend import KeyedBackend
from perdure.keys.data import PREFIX_BYTES
from perdure.testing.contract import CHECKS, Check
from perdure.testing.contract_keys import check_resealing, check_wrapped_keys_of_commits
from perdure.testing.contract_kit import Make

Beneath = Callable[[], Backend]
ROOT = LocalKey(bytes(range(32)))

NOT_KEYED: dict[Check, str] = {
    check_wrapped_keys_of_commits: "keys come from the layer itself, not with what it is given",
    check_resealing: "whoever seals anew knows the stored bytes, which no reader is shown",
}


@pytest.fixture(params=["memory", "objects", "sqlite"])
def beneath(request: pytest.FixtureRequest, tmp_path: Path) -> Beneath:
    """Opens the same backend at every call."""
    name = uuid4().hex
    makes: dict[str, Beneath] = {
        "memory": lambda: MemoryBackend(name),
        "objects": lambda: ObjectBackend(name),
        "sqlite": lambda: SqliteBackend(tmp_path / "a.db"),
    }
    return makes[request.param]


def sealing(make: Callable[[], Backend]) -> Make:
    with closing(make()) as backend:
        is_keyed = getattr(backend, "is_keyed", False)
    family = Family(PREFIX_BYTES + TAG_BYTES if is_keyed else HEADER_BYTES + TAG_BYTES)
    return lambda: Sealing(make(), family)


def keyed_checks() -> list[Check]:
    return [check for check in CHECKS if check not in NOT_KEYED]


def named(check: Check) -> str:
    return check.__name__


@pytest.mark.parametrize("check", keyed_checks(), ids=named)
def test_an_encrypted_store_keeps_the_contract(check: Check, beneath: Beneath) -> None:
    check(sealing(lambda: KeyedBackend(beneath(), ROOT)))


@pytest.mark.parametrize("check", keyed_checks(), ids=named)
def test_one_with_hidden_names_and_keys_apart_keeps_it(check: Check, tmp_path: Path) -> None:
    name, apart = uuid4().hex, tmp_path / "keys.db"

    def make() -> Backend:
        keys = SqliteBackend(apart)
        return KeyedBackend(ObjectBackend(name), ROOT, apart=keys, hide_names=True)

    check(sealing(make))


@pytest.mark.parametrize("check", CHECKS, ids=named)
def test_a_store_with_an_anchor_keeps_it(check: Check, tmp_path: Path) -> None:
    """Before an object store; the one below stands before the other kind of backend."""
    name, anchor = uuid4().hex, tmp_path / "safe.anchor"
    check(sealing(lambda: AnchoredBackend(ObjectBackend(name), FileAnchor(anchor))))


@pytest.mark.parametrize("check", keyed_checks(), ids=named)
def test_an_encrypted_one_with_an_anchor_keeps_it(check: Check, tmp_path: Path) -> None:
    def make() -> Backend:
        keyed = KeyedBackend(SqliteBackend(tmp_path / "a.db"), ROOT, hide_names=True)
        return AnchoredBackend(keyed, FileAnchor(tmp_path / "safe.anchor"))

    check(sealing(make))


def test_what_is_left_out_is_few() -> None:
    assert len(keyed_checks()) >= len(CHECKS) - 2 >= 50
