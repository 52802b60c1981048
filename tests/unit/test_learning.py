"""Threads that ask msgspec for one class at once, in a process that has just begun."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest

import perdure
from perdure.core import head_bytes
from perdure.core.head import Head

RUNS = 8

ASKING = """
import sys, threading, msgspec
from perdure.core.head import Head
wire = msgspec.msgpack.decode(bytes.fromhex(sys.argv[1]))
sys.setswitchinterval(1e-6)
ready = threading.Barrier(6)
def ask():
    ready.wait()
    for _ in range(20):
        msgspec.convert(wire, Head)
threads = [threading.Thread(target=ask) for _ in range(6)]
for each in threads: each.start()
for each in threads: each.join()
"""


def test_threads_that_read_the_first_heads_at_once_do_not_end_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    converted = head_bytes._converted

    def seeing(wire: Any, place: Any) -> Head:
        seen.append(wire)
        return converted(wire, place)

    monkeypatch.setattr(head_bytes, "_converted", seeing)
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state["x"] = 1
        store.info("a")
    wire = msgspec.msgpack.encode(seen[-1]).hex()
    for _ in range(RUNS):
        asked = subprocess.run([sys.executable, "-c", ASKING, wire], timeout=60, check=False)
        assert asked.returncode == 0
