"""The key of a project: the same wherever its directory goes, and made once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Store
from perdure.agent import project_key
from perdure.errors import Malformed, StoreUnavailable, UsageError


def test_a_renamed_project_does_not_lose_its_state(tmp_path: Path) -> None:
    before, after = tmp_path / "my shop", tmp_path / "elsewhere" / "store"
    before.mkdir()
    (before / "a.py").write_text("x")
    store = Store(tmp_path / "agents.db")
    with store.open(project_key(before)) as session:
        session.state["plan"] = "open"
        session.environment(files=["*.py"], root=before)
    after.parent.mkdir()
    before.rename(after)
    with store.open(project_key(after), must_exist=True) as session:
        assert session.state["plan"] == "open"
        assert not session.environment(files=["*.py"], root=after)
    assert project_key(after).startswith("my-shop-")


def test_it_is_where_the_process_is_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_key() == project_key(".") == project_key(str(tmp_path))
    assert [each.name for each in (tmp_path / ".perdure").iterdir()] == ["project"]


def test_a_copy_has_the_same_key_until_it_gets_its_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    key = project_key(one)
    shutil.copytree(one, two)
    assert project_key(two) == key
    (two / ".perdure" / "project").unlink()
    assert project_key(two) not in (key, "")
    assert project_key(one) == key


def test_projects_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    keys = set()
    for parent in ("a", "b"):
        (tmp_path / parent / "---").mkdir(parents=True)
        keys.add(project_key(tmp_path / parent / "---"))
    assert len(keys) == 2
    assert all(key.startswith("project-") for key in keys)


def test_processes_that_ask_at_once_get_one_key(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from perdure.agent import project_key\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(project_key(sys.argv[1]))\n"
    )
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for each in asking:
        assert each.stdout is not None
        each.stdout.readline()
    for each in asking:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    found = {each.communicate(timeout=60)[0].strip() for each in asking}
    assert found == {project_key(tmp_path)}
    assert [each.name for each in (tmp_path / ".perdure").iterdir()] == ["project"]


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no directory: give the root"):
        project_key(tmp_path / "nope")
    project_key(tmp_path)
    file = tmp_path / ".perdure" / "project"
    for content in (b"", b"\xff\xfe", b"two\nlines-0123456789abcdef", b"../x-0123456789abcdef"):
        file.write_bytes(content)
        with pytest.raises(Malformed, match="holds no key of a project"):
            project_key(tmp_path)
    shutil.rmtree(tmp_path / ".perdure")
    (tmp_path / ".perdure").write_text("a file")
    with pytest.raises(StoreUnavailable, match=r"use a key of your own"):
        project_key(tmp_path)
