"""Golden encrypted stores, read from the specification alone, and by the library."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from tests.format import plain_keys
from tests.format.plain_reader import check_chain, states_of
from tests.format.tagged import tagged

import perdure
from perdure.errors import WrongKey
from perdure.keys import LocalKey, PassphraseKey

EVERY = sorted((Path(__file__).parent / "keyed").iterdir())
GOLDEN = EVERY[-1]
FORMAT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
EXPECTED = json.loads((GOLDEN / "keyed.json").read_text(encoding="ascii"))
KEY, ROOT = EXPECTED["key"], bytes.fromhex(EXPECTED["root"])
by_root = partial(plain_keys.by_root, ROOT)
by_words = partial(plain_keys.by_passphrase, EXPECTED["passphrase"])


def test_an_encrypted_store_is_read_from_the_specification() -> None:
    head, records, used = plain_keys.read_store(GOLDEN / "keyed.db", KEY, by_root)
    check_chain(records, head)
    assert used == {2}
    told = [(each["number"], each["id"], each["hash"]) for each in EXPECTED["checkpoints"]]
    found = [(at, record.id.hex(), record.hash.hex()) for at, record in enumerate(records, 1)]
    assert found == told
    for state, each in zip(states_of(records), EXPECTED["checkpoints"], strict=True):
        assert each["state"] in (None, state)


def test_a_hidden_name_and_a_passphrase_are_read_from_the_specification() -> None:
    head, records, used = plain_keys.read_store(GOLDEN / "hidden.db", KEY, by_words)
    check_chain(records, head)
    assert used == {1}


def test_an_encrypted_export_is_read_from_the_specification() -> None:
    assert plain_keys.read_manifest(GOLDEN / "keyed.perdure", by_root) == KEY


def test_another_key_opens_nothing() -> None:
    for unwrap in (partial(plain_keys.by_root, bytes(32)), by_words):
        with pytest.raises((InvalidTag, AssertionError)):
            plain_keys.read_store(GOLDEN / "keyed.db", KEY, unwrap)


def test_the_example_in_the_text_is_right() -> None:
    example = plain_keys.hkdf(bytes(range(32)), bytes(range(32, 48)), b"perdure.rows")
    assert re.search(rf"info `perdure\.rows`, HKDF gives\n`{example.hex()}`", FORMAT)


# ---- the library ----------------------------------------------------------------------------


@pytest.mark.parametrize("golden", EVERY, ids=lambda path: path.name)
def test_the_library_reads_them_and_goes_on(golden: Path, tmp_path: Path) -> None:
    for name in ("keyed.db", "hidden.db"):
        shutil.copy(golden / name, tmp_path)
    with perdure.Store(tmp_path / "keyed.db", key=ROOT) as store:
        assert store.upgrade().ok
    with perdure.Store(tmp_path / "hidden.db", key=PassphraseKey(EXPECTED["passphrase"])) as store:
        assert store.upgrade().ok
    with perdure.Store(tmp_path / "keyed.db", key=ROOT) as store:
        for each in EXPECTED["checkpoints"]:
            state = tagged(store.at(KEY, each["number"]).plain())
            assert each["state"] in (None, state)
        assert all(each.ok for each in store.verify())
        with store.open(KEY) as session:
            session.state["more"] = True
        assert store.import_(golden / "keyed.perdure", "again").number == len(
            EXPECTED["checkpoints"]
        )
    with perdure.Store(tmp_path / "keyed.db", key=bytes(32)) as store, pytest.raises(WrongKey):
        store.states()
    words = PassphraseKey(EXPECTED["passphrase"])
    with perdure.Store(tmp_path / "hidden.db", key=words) as store:
        assert [each.key for each in store.states()] == [KEY]
        assert all(each.ok for each in store.verify())
    head, records, _ = plain_keys.read_store(tmp_path / "keyed.db", KEY, by_root)
    check_chain(records, head)
    assert len(records) == len(EXPECTED["checkpoints"]) + 1
    assert LocalKey(ROOT).unwrap(LocalKey(ROOT).wrap(b"x")) == b"x"
