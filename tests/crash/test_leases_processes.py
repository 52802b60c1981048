"""Leases between real processes: killed holders, stopped ones, forks, Ctrl-C (P3)."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from perdure import Store, errors, limits

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="this system has no such signals"
)

HOLD = """
import sys, perdure
store = perdure.Store(sys.argv[1])
session = store.open("a", exclusive=True)
session.state["log"] = ["crashed"]
session.save()
print("held", flush=True)
sys.stdin.read()
"""

RESUME = """
import os, sys, perdure
store = perdure.Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with store.open("a", exclusive=True, wait=300) as session:
    for _ in range(20):
        session.state["log"].append(os.getpid())
        session.save()
    print(session.resumed.ended, flush=True)
"""

ELSEWHERE = """
import sys, perdure
from perdure import errors, host
from perdure.types import Holder
host._holder = lambda pid: Holder("elsewhere", pid, "boot", "start")
store = perdure.Store(sys.argv[1])
session = store.open("a", exclusive=True)
session.state["log"] = ["mine"]
session.save()
print("held", flush=True)
sys.stdin.readline()
session.state["log"].append("late")
for _ in range(2):
    try:
        session.save()
    except errors.LeaseLost as error:
        print(error.kind, flush=True)
session.refresh()
session.close()
"""

FORK = """
import os, sys, warnings, perdure
from perdure import errors
warnings.simplefilter("ignore")
store = perdure.Store(sys.argv[1])
session = store.open("a", exclusive=True)
pid = os.fork()
if pid == 0:
    code = 1
    try:
        store.open("a", exclusive=True, wait=0)
    except errors.Busy as error:
        code = 0 if error.lease.holder.pid == os.getppid() else 2
    with store.open("b", exclusive=True) as own:  # a thread of its own renews it
        own.state["from"] = "child"
    store.close()
    os._exit(code)
assert os.waitpid(pid, 0)[1] == 0
assert [lease.session for lease in store.info("a").leases] == [session.id]
session.state["log"] = ["parent"]
session.close()
assert store.info("a").leases == store.info("b").leases == ()
store.close()
"""

WAIT = """
import sys, perdure
store = perdure.Store(sys.argv[1])
try:
    print("waiting", flush=True)
    store.open("a", exclusive=True, wait=300)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def run(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_processes_resume_a_killed_holders_session_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with run(HOLD, path) as holder:
        assert line(holder) == "held"
        with Store(path) as store, pytest.raises(errors.Busy, match=f"process {holder.pid} "):
            store.open("a", exclusive=True, wait=0)
        with run(RESUME, path) as one, run(RESUME, path) as other:
            assert (line(one), line(other)) == ("ready", "ready")
            holder.kill()
            holder.wait()
            go(one)
            go(other)
            assert sorted((line(one), line(other))) == ["closed", "interrupted"]
        assert (one.returncode, other.returncode) == (0, 0)
    with Store(path) as store:
        log: list[Any] = store.at("a", "~0")["log"]
        runs = [(who, len([*each])) for who, each in groupby(log)]
        assert runs[0] == ("crashed", 1)
        assert sorted(runs[1:]) == sorted([(one.pid, 20), (other.pid, 20)])
        assert store.info("a").leases == ()
        assert all(found.ok for found in store.verify())


def test_a_stopped_holder_elsewhere_is_taken_over_and_saves_nothing_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    with run(ELSEWHERE, path) as holder, Store(path) as store:
        assert line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(errors.Busy, match=r"process \d+ on elsewhere"):
            store.open("a", exclusive=True, wait=0)
        monkeypatch.setattr(limits, "lease_s", 0.1)
        with store.open("a", exclusive=True, wait=300) as session:
            session.state["log"].append("winner")
            session.save()
            holder.send_signal(signal.SIGCONT)
            go(holder)
            assert [line(holder), line(holder)] == ["lease-lost", "lease-lost"]
            session.state["log"].append("winner again")
        assert holder.wait() == 0
        assert store.at("a", "~0")["log"] == ["mine", "winner", "winner again"]
        assert store.info("a").leases == ()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_forked_child_neither_has_nor_frees_its_parents_lease(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_wait_can_be_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store, store.open("a", exclusive=True) as session:
        with run(WAIT, path) as waiting:
            assert line(waiting) == "waiting"
            waiting.send_signal(signal.SIGINT)
            assert line(waiting) == "interrupted"
            waiting.communicate()
        assert waiting.returncode == 0
        assert [lease.session for lease in store.info("a").leases] == [session.id]
