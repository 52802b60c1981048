"""Where root keys come from, and what is wrong with those that are none."""

import base64
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure import Store
from perdure.errors import KeyMissing, UsageError, WrongKey
from perdure.keys import EnvironmentKey, FileKey, KeyringKey, LocalKey, PassphraseKey
from perdure.keys.providers import root_key

SECRET = bytes(range(32))


@pytest.mark.parametrize(
    "text", [SECRET.hex(), base64.b64encode(SECRET).decode(), base64.urlsafe_b64encode(SECRET)[:43]]
)
def test_a_key_in_the_environment(text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text if isinstance(text, str) else text.decode()
    monkeypatch.setenv("MY_KEY", f" {text}\n")
    assert EnvironmentKey("MY_KEY").secret() == SECRET
    assert root_key("env:MY_KEY").key_id == LocalKey(SECRET).key_id


def test_what_is_no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyMissing, match="MY_KEY"):
        EnvironmentKey("MY_KEY").secret()
    for text in ("password", SECRET.hex()[:-1], "é" * 44, "0" * 66):
        monkeypatch.setenv("MY_KEY", text)
        with pytest.raises(UsageError, match="32 bytes") as caught:
            EnvironmentKey("MY_KEY").secret()
        assert text not in str(caught.value)


def test_a_key_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    made = FileKey.make(path)
    assert FileKey(path).key_id == made.key_id == root_key(f"file:{path}").key_id
    for content in (SECRET, SECRET.hex().encode(), base64.b64encode(SECRET) + b"\n"):
        path.write_bytes(content)
        assert FileKey(path).secret() == SECRET
    path.write_bytes(b"short")
    with pytest.raises(UsageError, match="32 bytes"):
        FileKey(path).secret()
    with pytest.raises(KeyMissing, match="not there"):
        FileKey(tmp_path / "none").secret()
    with pytest.raises(KeyMissing, match="cannot be read"):
        FileKey(tmp_path).secret()
    with pytest.raises(UsageError, match="cannot make"):
        FileKey.make(tmp_path / "no" / "a.key")


def test_a_file_that_is_named_without_its_form_is_told_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no file may be the key itself, and is said in no message."""
    monkeypatch.chdir(tmp_path)
    Path("a.key").touch()
    with pytest.raises(UsageError, match=r"for this file: file:a\.key"):
        root_key("a.key")
    with pytest.raises(UsageError) as caught:
        root_key(SECRET.hex())
    assert SECRET.hex() not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.key"
    FileKey.make(path)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(UsageError, match="chmod 600"):
            FileKey(path).secret()
    monkeypatch.setattr("perdure.keys.providers.sys", types.SimpleNamespace(platform="win32"))
    assert len(FileKey(path).secret()) == 32  # files have no such mode there


def test_a_passphrase_wraps_under_a_new_salt_each_time() -> None:
    key = PassphraseKey("correct horse", cost=10)
    wrapped = [key.wrap(SECRET) for _ in range(3)]
    assert len({each[:19] for each in wrapped}) == 3
    again = PassphraseKey(lambda: "correct horse", cost=11)
    assert {again.unwrap(each) for each in wrapped} == {SECRET}
    for other in ("battery staple", "correct horse "):
        with pytest.raises(WrongKey):
            PassphraseKey(other).unwrap(wrapped[0])
    assert "correct" not in repr(key)


def test_hostile_parameters_of_a_passphrase_are_refused_before_anything_is_computed() -> None:
    key = PassphraseKey("words", cost=10)
    wrapped = key.wrap(SECRET)
    for at, byte in ((0, 63), (0, 0), (1, 255), (2, 255)):
        with pytest.raises(WrongKey):
            key.unwrap(wrapped[:at] + bytes([byte]) + wrapped[at + 1 :])
    for size in range(len(wrapped)):
        with pytest.raises(WrongKey):
            key.unwrap(wrapped[:size])
    with pytest.raises(UsageError):
        PassphraseKey("words", cost=40)
    with pytest.raises(KeyMissing, match="empty"):
        PassphraseKey("").wrap(SECRET)


def test_a_key_in_the_keyring_is_made_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class InMemory(KeyringBackend):
        priority = 1
        kept: ClassVar[dict[tuple[str, str], str]] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())  # type: ignore[no-untyped-call]
    try:
        first = KeyringKey("a service").secret()
        assert KeyringKey("a service").secret() == first
        assert root_key("keyring:a service").key_id == LocalKey(first).key_id
        assert KeyringKey("another").secret() != first
    finally:
        keyring.set_keyring(before)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match=r"perdure\[keyring\]"):
        KeyringKey().secret()


class Service:
    """A service that keeps keys, and counts what it is asked."""

    key_id = "projects/p/keys/k"

    def __init__(self) -> None:
        self._key = LocalKey(SECRET)
        self.asked = 0

    def wrap(self, key: bytes) -> bytes:
        self.asked += 1
        return b"service" + self._key.wrap(key)

    def unwrap(self, wrapped: bytes) -> bytes:
        self.asked += 1
        return self._key.unwrap(wrapped.removeprefix(b"service"))


def test_a_service_is_asked_once_by_each_process_however_many_states(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    with Store(url, key=Service()) as store:
        for number in range(20):
            with store.open(f"a{number}") as session:
                session.state["n"] = number
    service = Service()
    with Store(url, key=service) as store:
        for number in range(20):
            with store.open(f"a{number}") as session:
                assert session.state["n"] == number
    assert service.asked == 1
    with Store(url, key=SECRET) as store, pytest.raises(WrongKey, match="projects/p/keys/k"):
        store.states()


def test_a_service_that_fails_is_told_in_our_words(tmp_path: Path) -> None:
    class Broken(Service):
        def unwrap(self, wrapped: bytes) -> bytes:
            raise ConnectionError("no route")

    class Odd(Service):
        def unwrap(self, wrapped: bytes) -> bytes:
            return b"no key"

    url = str(tmp_path / "a.db")
    with Store(url, key=Service()) as store, store.open("a") as session:
        session.state["n"] = 1
    with Store(url, key=Broken()) as store, pytest.raises(KeyMissing, match="no route"):
        store.states()
    with Store(url, key=Odd()) as store, pytest.raises(WrongKey):
        store.states()


def test_a_function_gives_the_key_when_it_is_needed(tmp_path: Path) -> None:
    asked: list[int] = []

    def secret() -> bytes:
        asked.append(1)
        return SECRET

    with Store(tmp_path / "a.db", key=secret) as store:
        assert asked == []
        with store.open("a") as session:
            session.state["n"] = 1
    assert asked == [1]
    store = Store(tmp_path / "a.db", key=lambda: b"short")
    with store, pytest.raises(UsageError, match="32 bytes"):
        store.states()


def test_a_key_is_in_no_repr() -> None:
    for key in (LocalKey(SECRET), EnvironmentKey("A"), FileKey("a.key"), KeyringKey()):
        assert SECRET.hex() not in repr(key)
        assert repr(SECRET) not in repr(key)
