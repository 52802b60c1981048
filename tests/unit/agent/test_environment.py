"""What changed around an agent: what is compared, what is noted, and what is never kept."""

import asyncio
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import AsyncStore, Store, limits
from perdure.agent.environment import EnvironmentChanges
from perdure.agent.fingerprint import Asked, take
from perdure.errors import UsageError

OLD_NS = 1_700_000_000_000_000_000
GLOBS = ["**/*.py"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    write(root / "a.py", "a = 1")
    write(root / "src" / "b.py", "b = 1")
    return root


def write(path: Path, text: str, age: int = 100) -> None:
    """A file that was written a while ago: its time tells whether it was written since."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(OLD_NS, OLD_NS - age))


def git(root: Path, *args: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *args], cwd=root, check=True, capture_output=True)


def look(store: Store, **asked: Any) -> EnvironmentChanges:
    with store.open("a") as session:
        return session.environment(**asked)


def test_what_changed_appeared_and_vanished_is_told_once(root: Path) -> None:
    store = Store("memory:")
    assert not look(store, files=GLOBS, root=root)
    write(root / "a.py", "a = 2", age=50)
    write(root / "c.py", "c = 1")
    (root / "src" / "b.py").unlink()
    found = look(store, files=GLOBS, root=root)
    assert (found.changed, found.appeared, found.vanished) == (("a.py",), ("c.py",), ("src/b.py",))
    assert found.away is not None
    assert timedelta() < found.away < timedelta(minutes=10)
    assert found.summary().endswith("changed: a.py; appeared: c.py; vanished: src/b.py")
    assert not look(store, files=GLOBS, root=root)


def test_a_file_written_again_with_the_same_content_is_the_same(root: Path) -> None:
    store = Store("memory:")
    look(store, files=GLOBS, root=root)
    write(root / "a.py", "a = 1", age=1)
    assert not look(store, files=GLOBS, root=root)


def test_a_file_of_the_same_size_and_time_is_read_again_if_it_was_new_when_it_was_noted(
    root: Path,
) -> None:
    store = Store("memory:")
    (root / "new.py").write_text("n = 1")
    stat = (root / "new.py").stat()
    look(store, files=GLOBS, root=root)
    (root / "new.py").write_text("n = 2")
    os.utime(root / "new.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(store, files=GLOBS, root=root).changed == ("new.py",)


def test_files_that_did_not_change_are_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(str(root), tuple(GLOBS))
    known = take(asked, {}, b"salt").files
    write(root / "a.py", "a = 3", age=7)
    read: list[str] = []

    def told(path: str, size: int) -> str:
        read.append(path)
        return "hash"

    monkeypatch.setattr("perdure.agent.fingerprint._hash", told)
    take(asked, known, b"salt")
    assert read == [str(root / "a.py")]


def test_a_large_file_is_compared_by_its_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "environment_file_bytes_max", 3)
    store = Store("memory:")
    look(store, files=GLOBS, root=root)
    write(root / "a.py", "a = 1", age=1)
    assert look(store, files=GLOBS, root=root).changed == ("a.py",)


def test_a_renamed_directory_is_the_same(root: Path) -> None:
    store = Store("memory:")
    look(store, files=GLOBS, root=root)
    moved = root.rename(root.with_name("renamed"))
    assert not look(store, files=GLOBS, root=moved)
    assert str(root.parent) not in str(store.at("a", 1).plain())


def test_other_patterns_tell_of_what_both_know(root: Path) -> None:
    store = Store("memory:")
    look(store, files=["*.py"], root=root)
    write(root / "a.py", "a = 2", age=50)
    found = look(store, files=GLOBS, root=root)
    assert (found.changed, found.appeared) == (("a.py",), ())


def test_what_the_agent_itself_changed_is_no_news_to_it(root: Path) -> None:
    store = Store("memory:")
    with store.open("a") as session:
        session.environment(files=GLOBS, root=root)
        write(root / "mine.py", "m = 1")
    assert not look(store, files=GLOBS, root=root)
    with pytest.raises(ValueError, match="x"), store.open("a") as session:
        session.environment(files=GLOBS, root=root)
        write(root / "lost.py", "l = 1")
        raise ValueError("x")
    assert look(store, files=GLOBS, root=root).appeared == ("lost.py",)


def test_a_session_that_finds_nothing_changed_writes_nothing(root: Path) -> None:
    store = Store("memory:")
    look(store, files=GLOBS, root=root, packages=True, env=["PATH"])
    look(store, files=GLOBS, root=root, packages=True, env=["PATH"])
    assert len(store.history("a")) == 1


def test_the_repository_is_told_of(root: Path) -> None:
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    store = Store("memory:")
    look(store, git=True, root=root)
    (root / "a.py").write_text("changed")
    found = look(store, git=True, root=root)
    assert found.git is not None
    assert found.git[1] is not None
    assert (found.git[1]["branch"], found.git[1]["changed"]) == ("main", 1)
    assert "git: changes on " in found.summary()
    git(root, "commit", "-q", "-a", "-m", "two")
    found = look(store, git=True, root=root)
    assert found.git is not None
    assert " → " in found.summary()


def test_where_there_is_no_repository_none_is_told_of(tmp_path: Path) -> None:
    store = Store("memory:")
    look(store, git=True, root=tmp_path)
    assert store.at("a", 1).plain()["perdure.environment"]["git"] is None
    assert not look(store, git=True, root=tmp_path)


def test_versions_of_packages_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_thing-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    store = Store("memory:")
    look(store, packages=True)
    (tmp_path / "some_thing-1.0.dist-info").rename(tmp_path / "some_thing-1.1.dist-info")
    (tmp_path / "more-2.0.dist-info").mkdir()
    found = look(store, packages=True)
    assert found.packages == {"some-thing": ("1.0", "1.1"), "more": (None, "2.0")}
    assert found.summary().endswith("packages: more - → 2.0, some-thing 1.0 → 1.1")


def test_values_of_variables_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TEST_TOKEN", "sk-very-secret")
    one, two = Store("memory:"), Store("memory:")
    for store in (one, two):
        look(store, env=["PERDURE_TEST_TOKEN"])
    kept = [store.at("a", 1).plain()["perdure.environment"] for store in (one, two)]
    assert "sk-very-secret" not in str(kept)
    assert kept[0]["env"] != kept[1]["env"]  # each state has a key of its own
    monkeypatch.setenv("PERDURE_TEST_TOKEN", "sk-other")
    assert look(one, env=["PERDURE_TEST_TOKEN"]).env == ("PERDURE_TEST_TOKEN",)
    monkeypatch.delenv("PERDURE_TEST_TOKEN")
    assert look(one, env=["PERDURE_TEST_TOKEN"]).env == ("PERDURE_TEST_TOKEN",)
    assert not look(one, env=["PERDURE_TEST_TOKEN"])


def test_what_changed_is_kept_for_the_briefing_and_bounded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "environment_changes_kept_max", 3)
    store = Store("memory:")
    look(store, files=GLOBS, root=root)
    for at in range(5):
        write(root / f"n{at}.py", "n")
    found = look(store, files=GLOBS, root=root)
    assert len(found.appeared) == 5
    assert found.summary().count(".py") == 5
    kept = store.at("a", 2).plain()["perdure.environment"]["changes"]
    assert (kept["appeared"], kept["appeared_more"]) == (["n0.py", "n1.py", "n2.py"], 2)


def test_async_session_does_the_same(root: Path) -> None:
    async def run() -> EnvironmentChanges:
        store = AsyncStore("memory:")
        async with store.open("a") as session:
            await session.environment(files=GLOBS, root=root)
            write(root / "mine.py", "m = 1")
        write(root / "a.py", "a = 2", age=50)
        async with store.open("a") as session:
            return await session.environment(files=GLOBS, root=root)

    found = asyncio.run(run())
    assert (found.changed, found.appeared) == (("a.py",), ())


def test_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no directory"):
        look(Store("memory:"), files=GLOBS, root=tmp_path / "nowhere")
