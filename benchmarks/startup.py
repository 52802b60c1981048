"""A fresh process: what importing costs, and how long until the first message is safe."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, Goal
from benchmarks.measure import MILLISECONDS, Run, interleaved
from benchmarks.messages import message

_FIRST_SAVE = """\
import sys
import perdure
store = perdure.Store(sys.argv[1])
with store.open("bench/first") as session:
    session.state["messages"] = [{"role": "user", "content": sys.argv[2]}]
    session.save()
    print("saved", flush=True)
    sys.stdin.read()
"""

_FIRST_INSERT = """\
import sys
import apsw
connection = apsw.Connection(sys.argv[1])
connection.pragma("journal_mode", "wal")
connection.pragma("synchronous", "FULL")
connection.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
connection.execute("INSERT INTO log (blob) VALUES (?)", (sys.argv[2].encode(),))
print("saved", flush=True)
sys.stdin.read()
"""


def import_time(run: Run) -> list[Figure]:
    def bare() -> None:
        _python("pass")

    def importing() -> None:
        _python("import perdure")

    with_it, without = interleaved(run.size(20, 2), 1, importing, bare)
    added = (median(with_it) - median(without)) * MILLISECONDS
    return [
        Figure(
            "import perdure, over the interpreter's own start",
            "ms",
            added,
            median(without) * MILLISECONDS,
            "python -c pass",
            Goal(value_max=25),
            f"median of {len(with_it)}",
        )
    ]


def _python(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, stdin=subprocess.DEVNULL)


def first_save(run: Run) -> list[Figure]:
    ours: list[float] = []
    bare: list[float] = []
    for turn in range(run.size(9, 1) + 1):
        pair = (
            _seconds_until_saved(_FIRST_SAVE, run.path("store")),
            _seconds_until_saved(_FIRST_INSERT, run.path("floor")),
        )
        if turn:
            ours.append(pair[0])
            bare.append(pair[1])
    return [
        Figure(
            "fresh process to the first durable save",
            "ms",
            median(ours) * MILLISECONDS,
            median(bare) * MILLISECONDS,
            "fresh process, new apsw file, insert + commit",
            Goal(value_max=150),
            f"median of {len(ours)}",
        )
    ]


def _seconds_until_saved(script: str, path: Path) -> float:
    """Seconds until a new process says that its save is durable; its ending is not counted."""
    command = [sys.executable, "-c", script, str(path), message(1)["content"]]
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        took = time.perf_counter() - began
        process.communicate()
    if said != b"saved\n" or process.returncode != 0:
        raise RuntimeError(f"the process under measurement failed ({process.returncode})")
    return took
