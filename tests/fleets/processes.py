"""Processes of the versions of the example package, each with the code of its own wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent / "worker.py"


class Refused(Exception):
    """An instruction raised an error of Perdure."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told['error']}: {told['message']}")
        self.kind: str = told["error"]
        self.is_reload: bool = told["reload"]


class Process:
    """One process at work on a store."""

    def __init__(self, installed: Path, store: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(installed)},
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.told, self.heard = self.process.stdin, self.process.stdout

    def tell(self, *instruction: Any) -> None:
        """Give an instruction, and wait for nothing."""
        self.told.write(json.dumps(instruction) + "\n")
        self.told.flush()

    def hear(self) -> Any:
        """The next answer."""
        line = self.heard.readline()
        assert line, "the process ended; its traceback is on stderr"
        return json.loads(line)

    def ask(self, *instruction: Any) -> Any:
        """Give an instruction; what it gave."""
        self.tell(*instruction)
        told = self.hear()
        if "error" in told:
            raise Refused(told)
        return told["done"]

    def kill(self) -> list[int]:
        """Kill it, as `kill -9` does; the numbers that it still told."""
        self.process.kill()
        rest = [json.loads(line) for line in self.heard if line.endswith("\n")]
        self._end()
        return [each for each in rest if isinstance(each, int)]

    def end(self) -> None:
        """Let it end."""
        self.told.close()
        assert self.process.wait() == 0, "the process failed; its traceback is on stderr"
        self._end()

    def _end(self) -> None:
        self.process.wait()
        for pipe in (self.told, self.heard):
            pipe.close()
