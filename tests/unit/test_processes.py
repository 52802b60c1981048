"""Other processes: whether a holder lives, what a kill leaves, and what a fork may do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import perdure
from perdure import errors, host

SAVE_AND_WAIT = """
import sys, perdure
store = perdure.Store(sys.argv[1])
session = store.open("a")
session.state["n"] = 1
session.save()
print("saved", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys, warnings, perdure
from perdure import errors
warnings.simplefilter("ignore")
store = perdure.Store(sys.argv[1])
session = store.open("a")
session.state["n"] = 1
session.save()
pid = os.fork()
if pid == 0:
    code = 1
    try:
        session.state["n"] = 2
        session.save()
    except errors.Forked:
        with store.open("b") as mine:      # the store itself reopens in the child
            mine.state["from"] = "child"
        code = 0
    os._exit(code)
assert os.waitpid(pid, 0)[1] == 0
session.state["n"] = 3
session.close()
store.close()
"""


def test_this_process_lives_and_others_are_told_apart() -> None:
    here = host.holder()
    assert host.is_alive(here) is True
    assert host.is_alive(replace(here, host="elsewhere")) is None
    assert host.is_alive(replace(here, boot="another boot")) is False
    assert host.is_alive(replace(here, started="0")) is False
    assert host.is_alive(replace(here, started="0 " + here.started.partition(" ")[2])) is False
    ticks = here.started.partition(" ")[0]
    assert host.is_alive(replace(here, started=ticks)) is True, "as versions before wrote it"
    assert host.is_alive(replace(here, started=ticks + " pid:[1]")) is None, "in another container"


def test_a_killed_session_is_maybe_running_while_it_lives_and_interrupted_after(
    tmp_path: Path,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SAVE_AND_WAIT, str(tmp_path / "a.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "saved\n"
        with perdure.Store(tmp_path / "a.db") as store:
            assert store.info("a").status == "maybe running"
            child.kill()
            child.wait()
            assert store.info("a").status == "interrupted"
            with store.open("a") as session:
                assert session.resumed is not None
                assert session.resumed.ended == "interrupted"
                assert session.resumed.session.holder.pid == child.pid
                assert session.state["n"] == 1
                session.state["n"] = 2
            assert [info.ended for info in store.sessions("a")] == ["closed", "interrupted"]
            with store.open("a") as session:
                assert session.resumed is not None
                assert session.resumed.ended == "closed"
                assert session.resumed.others == ()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_fork_reopens_the_store_and_refuses_the_parents_session(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with perdure.Store(tmp_path / "a.db") as store:
        assert store.at("a", 2)["n"] == 3
        assert store.at("b", 1)["from"] == "child"
        assert all(found.ok for found in store.verify())


def test_a_session_of_a_closed_store_cannot_save(tmp_path: Path) -> None:
    store = perdure.Store(tmp_path / "a.db")
    session = store.open("a")
    session.state["n"] = 1
    with pytest.warns(ResourceWarning, match="unsaved edits are lost"):
        store.close()
    with pytest.raises(errors.StoreClosed):
        session.save()


FORK_AT_WORK = """
import os, signal, sys, tempfile, threading, warnings, perdure
from pathlib import Path
warnings.simplefilter("ignore")
path = sys.argv[1]
store = perdure.Store(path)
with store.open("saved") as session:  # a module's first import does not stand a fork, in any Python
    session.save()
done = threading.Event()
started = threading.Semaphore(0)

def saves():
    with store.open("saved") as session:
        while not done.is_set():
            session.state["n"] = session.state.get("n", 0) + 1
            session.save(durability="process")
            started.release()

def reads():
    while not done.is_set():
        store.states()
        started.release()

def moves():
    while not done.is_set():
        store._driver.backend._move_log(empties=True)
        started.release()

threads = [threading.Thread(target=each) for each in (saves, reads, moves)]
for each in threads:
    each.start()
hung = 0
for number in range(20):
    for _ in range(3):
        started.acquire()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        with perdure.Store(path) as mine, mine.open(f"child {number}") as session:
            session.state["n"] = 1
        with store.open(f"child {number}") as session:
            session.state["n"] = 2
        os._exit(0)
    hung += os.waitpid(pid, 0)[1] != 0
done.set()
for each in threads:
    each.join()
assert not hung, hung
assert len(store.states()) == 21 and all(found.ok for found in store.verify())
store.close()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_child_forked_while_threads_use_the_store_can_use_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK_AT_WORK, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


OUTLIVING = """
import os, sys, warnings, perdure

warnings.simplefilter("ignore", DeprecationWarning)
path = sys.argv[1]
from_parent, to_child = os.pipe()
store = perdure.Store(path)
with store.open("parent") as session:
    session.state["x"] = 1
pid = os.fork()
if not pid:
    with perdure.Store(path) as own, own.open("child") as session:
        session.state["done"] = []
        session.save()
        print("begun", flush=True)
        os.read(from_parent, 1)
        for n in range(5):
            session.state["done"].append(n)
            session.save()
    os._exit(0)
sys.stdout.flush()
with store.open("parent") as session:
    session.state["x"] = 2
store.close()
os.write(to_child, b".")
os.waitpid(pid, 0)
with perdure.Store(path) as again:
    print(again.open("child").state["done"], again.open("parent").state["x"])
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_parent_that_closes_takes_nothing_from_its_forked_child_P1(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", OUTLIVING, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "[0, 1, 2, 3, 4] 2", run.stderr
