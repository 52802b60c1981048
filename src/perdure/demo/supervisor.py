"""Starts the agent, kills it at random moments, starts it again, until its work is done."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from perdure.demo.agent import STEPS, report_file
from perdure.demo.display import Display
from perdure.demo.witness import Witness


class AgentFailed(Exception):
    """The agent ended by itself before its work was done; carries what it wrote to stderr."""


@dataclass(frozen=True, slots=True)
class KillMoment:
    """When to kill: after so many saves, and then at what is told next of this kind."""

    saves: int
    event: str
    """`saved`, and then a part of the time a step takes; `start` or `acted` of an action on the
    world, at once: before it is known whether it happened."""
    delay: float
    """In mean steps: 0.5 is half the time that a step took so far."""

    def has_come(self, event: dict[str, Any], saves: int) -> bool:
        """Whether it is now that the agent told of this event, after so many saves."""
        is_action = event["event"] != "start" or event["step"] == STEPS[-1]
        return saves >= self.saves and event["event"] == self.event and is_action


KINDS = ("saved", "acted", "start")


def kill_moments(modules: int, kills: int, chance: random.Random) -> list[KillMoment]:
    """`kills` moments, one drawn from each of as many equal parts of the work, of all kinds."""
    total = modules * len(STEPS)
    return [
        KillMoment(
            saves=max(1, min(total - 1, int((part + chance.random()) * total / kills))),
            event=KINDS[part % len(KINDS)],
            delay=chance.random(),
        )
        for part in range(kills)
    ]


@dataclass(slots=True)
class Supervisor:
    """Sees one agent through its work, over as many lives as it takes."""

    store_path: str
    key: str
    root: Path
    display: Display
    moments: list[KillMoment] = field(default_factory=list)
    witness: Witness = field(default_factory=Witness)
    kills: int = 0
    sessions: int = 0
    seconds: float = 0.0
    killed_pid: int | None = None

    @property
    def file(self) -> Path:
        """Where the agent appends its lines."""
        return report_file(self.store_path, self.key)

    def run(self) -> None:
        """Start the agent, again and again, until it ends by itself.

        Raises:
            AgentFailed: It ended in another way.
        """
        moments = iter(self.moments)
        ended = False
        while not ended:
            began = time.monotonic()
            with tempfile.TemporaryFile() as errors:
                ended = self._live(next(moments, None), errors)
            self.seconds += time.monotonic() - began
            if not ended:
                self.kills += 1
                self.display.killed(self.witness.current)
            self.witness.compare(self.store_path, self.key)
            self.display.compared(self.witness)

    def _live(self, moment: KillMoment | None, errors: IO[bytes]) -> bool:
        """One life. Tells whether the agent ended by itself."""
        self.sessions += 1
        command = [sys.executable, "-m", "perdure.demo.agent"]
        process = subprocess.Popen(
            [*command, self.store_path, self.key, str(self.root)],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        try:
            self._watch(process, process.stdout, moment)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            process.wait()
        if process.pid != self.killed_pid and (process.returncode or not self.witness.work_is_over):
            errors.seek(0)
            raise AgentFailed(errors.read().decode(errors="replace").strip())
        return self.witness.work_is_over

    def _watch(
        self, process: subprocess.Popen[bytes], stdout: IO[bytes], moment: KillMoment | None
    ) -> None:
        """Listen until the agent ends, or kill it when its moment has come."""
        first = 0.0
        for count, event in enumerate(self._listen(stdout)):
            first = first or time.monotonic()
            if moment and moment.has_come(event, len(self.witness.saved)):
                if event["event"] == "saved":  # two events a step
                    time.sleep(moment.delay * (time.monotonic() - first) / count * 2)
                process.kill()
                self.killed_pid = process.pid
                moment = None  # what it had said before it died still counts: listen on

    def _listen(self, stdout: IO[bytes]) -> Iterator[dict[str, Any]]:
        for line in stdout:
            if not line.endswith(b"\n"):
                return  # cut off by the kill
            event = json.loads(line)
            self.witness.hear(event)
            self.display.heard(event, self.witness)
            yield event
