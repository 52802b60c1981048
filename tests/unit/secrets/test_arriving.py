"""What comes with its history, by a copy or from a file, is looked over before any is written."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from perdure import AsyncStore, Retention, Secrets, Session, Store
from perdure.cli.app import USAGE, app
from perdure.core.claims import claimed_of
from perdure.engine.read import Site, read_head
from perdure.errors import Damaged, SecretFound, StateExists, UsageError
from perdure.secrets.policy import Action

KEY = f"AKIA{'Q7' * 8}"
KIND = "AWS Access Key"
Path_ = tuple[Any, ...]


def now(session: Session) -> None:
    session.state["messages"].append({"content": f"it is {KEY}"})


def overwritten(session: Session) -> None:
    session.state["note"] = {KEY: 1}
    session.save()
    session.state["note"] = "gone"


def grown(session: Session) -> None:
    session.state["note"] = KEY[:10]
    session.save()
    session.state["note"] += KEY[10:]


def labelled(session: Session) -> None:
    session.state["note"] = "gone"
    session.save(label=f"of {KEY}")


def summed_up(session: Session) -> None:
    session.summary = KEY
    session.save()


def performed(session: Session) -> None:
    with session.task("mail") as task:
        task.effect("send", lambda: {"sent": KEY})


def performed_large(session: Session) -> None:
    with session.task("mail") as task:
        task.effect("send", lambda: {"sent": KEY, "more": ["x" * 100] * 300})


WAYS: dict[str, tuple[Callable[[Session], None], Path_]] = {
    "now": (now, ("messages", 1, "content")),
    "overwritten": (overwritten, ("note", f"[masked: {KIND}]")),
    "grown": (grown, ("note",)),
    "label": (labelled, ("label",)),
    "summary": (summed_up, ("summary",)),
    "effect": (performed, ("effects", "mail/send", "result", "sent")),
    "large effect": (performed_large, ("effects", "mail/send", "result", "sent")),
}


def begun(path: Path, way: Callable[[Session], None] | None, **options: Any) -> None:
    with Store(path, maintenance="off", **options) as store, store.open("a") as session:
        session.state["messages"] = [{"content": "hello"}]
        session.save()
        if way is not None:
            way(session)
            session.save()


def exported(path: Path) -> bytes:
    target = io.BytesIO()
    with Store(path, maintenance="off") as store:
        store.export("a", target)
    return target.getvalue()


def written(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("action", ["refuse", "mask"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arrives", ["copied", "imported"])
def test_a_secret_anywhere_in_it_is_refused_and_nothing_is_written(
    tmp_path: Path, way: str, action: Action, arrives: str
) -> None:
    source, new = tmp_path / "source.db", tmp_path / "new.db"
    make, path = WAYS[way]
    begun(source, make)
    data = exported(source)
    with Store(source if arrives == "copied" else new, secrets=action, maintenance="off") as store:
        with pytest.raises(SecretFound) as caught:
            if arrives == "copied":
                store.copy("a", "b")
            else:
                store.import_(io.BytesIO(data), "b")
        found = caught.value.found
        assert path in [each.path for each in found]
        assert {each.kind for each in found} == {KIND}
        assert {each.key for each in found} == {"a" if arrives == "copied" else "b"}
        assert KEY not in f"{caught.value} {found}"
        assert "Nothing was written" in str(caught.value)
        assert ("is not masked" in str(caught.value)) == (action == "mask")
        assert "edact" in str(caught.value)
        assert [each.key for each in store.states()] == (["a"] if arrives == "copied" else [])
        assert store.unreferenced() == []
    if arrives == "imported":
        assert KEY.encode() not in written(new)


@pytest.mark.parametrize("arrives", ["copied", "imported"])
def test_without_one_it_arrives_as_ever(tmp_path: Path, arrives: str) -> None:
    source = tmp_path / "source.db"
    begun(source, lambda session: session.state["messages"].append({"content": "bye"}))
    data = exported(source)
    with Store(source, secrets="refuse", maintenance="off") as store:
        if arrives == "copied":
            store.copy("a", "b")
        else:
            store.import_(io.BytesIO(data), "b")
        for number in (1, 2):
            assert store.at("b", number).plain() == store.at("a", number).plain()
        assert all(each.ok for each in store.verify())


def test_only_what_the_copy_would_have_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun(path, None)
    with Store(path, maintenance="off") as store:
        store.fork("a", "other")
        for branch in ("other", "main"):
            with store.open("a", branch=branch) as session:
                session.state["note"] = KEY
    with Store(path, secrets="refuse", maintenance="off") as store:
        store.copy("a", "b", at=1)
        for ref, branch in ((2, "main"), ("other", "other")):
            with pytest.raises(SecretFound) as caught:
                store.copy("a", "c", at=ref)
            assert {(each.branch, each.number) for each in caught.value.found} == {(branch, 2)}


@pytest.mark.parametrize("arrives", ["copied", "imported"])
def test_results_that_the_head_has_no_room_for_are_looked_over(
    tmp_path: Path, arrives: str
) -> None:
    path = tmp_path / "a.db"
    with Store(path, maintenance="off") as store:
        with store.open("a") as session, session.task("mail") as task:
            for number in range(60):
                large = ["x" * 100] * 300 if number == 1 else []
                task.effect(f"send {number}", lambda more=large: {"sent": KEY, "more": more})
        store.maintain("a")
        head = store._driver.run(read_head(Site(store._driver.store_id, "a")))
        assert claimed_of(head) is not None
    data = exported(path)
    with Store(path, secrets="refuse", maintenance="off") as store:
        with pytest.raises(SecretFound) as caught:
            if arrives == "copied":
                store.copy("a", "b")
            else:
                store.import_(io.BytesIO(data), "b")
        found = {each.path for each in caught.value.found if each.path[0] == "effects"}
        assert len(found) == 60


@pytest.mark.parametrize("arrives", ["copied", "imported"])
def test_what_stands_in_for_what_was_pruned_is_looked_over(tmp_path: Path, arrives: str) -> None:
    path = tmp_path / "a.db"
    begun(path, lambda session: session.state.update(kept=KEY))
    with Store(path, maintenance="off") as store:
        with store.open("a") as session:
            for number in range(5):
                session.state["number"] = number
                session.save()
            session.state["kept"] = "gone"
        store.prune(Retention(keep_last=2), "a")
    data = exported(path)
    with Store(path, secrets="refuse", maintenance="off") as store:
        with pytest.raises(SecretFound) as caught:
            if arrives == "copied":
                store.copy("a", "b")
            else:
                store.import_(io.BytesIO(data), "b")
        assert {each.path for each in caught.value.found} == {("kept",)}


def test_the_way_out_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun(path, overwritten)
    with Store(path, secrets="refuse", maintenance="off") as store:
        with pytest.raises(SecretFound, match=r"store\.redact\('a', …\)"):
            store.copy("a", "b")
        store.redact("a", match=KEY)
        store.copy("a", "b")
        store.import_(io.BytesIO(exported(path)), "c")
    policy = Secrets(allow=(KEY,))
    begun(path.with_name("b.db"), now)
    with Store(path.with_name("b.db"), secrets=policy, maintenance="off") as store:
        store.copy("a", "b")


def test_awaited_they_refuse_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun(path, now)
    data = exported(path)

    async def work() -> None:
        async with AsyncStore(path, secrets="refuse", maintenance="off") as store:
            with pytest.raises(SecretFound):
                await store.copy("a", "b")
            with pytest.raises(SecretFound):
                await store.import_(io.BytesIO(data), "b")
            assert [each.key for each in await store.states()] == ["a"]

    asyncio.run(work())


class Stream(io.RawIOBase):
    """What can be read once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        """It can."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the next bytes."""
        return self._file.readinto(buffer)


def test_what_can_be_read_only_once_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun(path, None)
    data = exported(path)
    with Store(tmp_path / "b.db", maintenance="off") as store:
        store.import_(Stream(data))  # type: ignore[arg-type]  # all that it takes
    with (
        Store(tmp_path / "c.db", secrets="refuse") as store,
        pytest.raises(UsageError, match="save it as a file"),
    ):
        store.import_(Stream(data))  # type: ignore[arg-type]


class Swapped(io.BytesIO):
    """A file that is another one when it is read again."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first)
        self._second, self._sought = second, 0

    def seek(self, at: int, whence: int = 0) -> int:
        """Go back to the beginning, of the other one."""
        self._sought += 1
        if self._sought == 2:
            self.__init__(self._second, b"")  # type: ignore[misc]  # the bytes are exchanged
        return super().seek(at, whence)


def test_what_was_looked_over_is_what_is_imported(tmp_path: Path) -> None:
    clean, bad = tmp_path / "a.db", tmp_path / "b.db"
    begun(clean, None)
    begun(bad, now)
    file = Swapped(exported(clean), exported(bad))
    with (
        Store(tmp_path / "c.db", secrets="refuse") as store,
        pytest.raises(Damaged, match="was changed while it was read"),
    ):
        store.import_(file)


def test_a_key_in_use_is_told_first(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun(path, now)
    data = exported(path)
    with Store(path, secrets="refuse", maintenance="off") as store:
        with pytest.raises(StateExists):
            store.copy("a", "a")
        with pytest.raises(StateExists):
            store.import_(io.BytesIO(data))


def test_on_the_command_line(tmp_path: Path) -> None:
    path, file = tmp_path / "a.db", tmp_path / "a.perdure"
    begun(path, now)
    file.write_bytes(exported(path))
    for command in (("copy", "a", "b"), ("import", str(file), "b")):
        call = ("--store", str(path), *command)
        told = CliRunner().invoke(app, (*call, "--refuse-secrets"))
        assert told.exit_code == USAGE
        assert "messages/1/content of checkpoint 2 holds what looks like a secret" in told.stderr
        with Store(path) as store:
            assert [each.key for each in store.states()] == ["a"]
        assert CliRunner().invoke(app, call).exit_code == 0
        with Store(path) as store:
            store.erase("b")
