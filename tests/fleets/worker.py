"""A process of one version of the example package: told by lines of JSON what to do, and answers.

It knows the package by its name alone; which version that is, the path says. Instructions:
`["open", options]`, `["do", acts]`, `["save"]`, `["close"]`, `["refresh", keep]`, `["show"]`,
`["run", [acts, …]]`: open once, and save after each of the lists, telling of each save.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import perdure

AGENT: Any = import_module("research_agent")
ACTS: Any = import_module("research_agent.acts")


class Worker:
    """Has one store, and at most one session."""

    def __init__(self, path: str) -> None:
        self.store = perdure.Store(path, maintenance="off")
        self.session: Any = None

    def open(self, options: dict[str, Any]) -> int:
        """Open the state; which version this is."""
        self.session = self.store.open("a", schema=AGENT.Research, **options)
        version: int = AGENT.VERSION
        return version

    def do(self, acts: list[list[Any]]) -> None:
        """Edit, and save nothing."""
        for name, *given in acts:
            ACTS.ACTS[name](self.session.state, *given)

    def save(self) -> int:
        """Save; the number of the checkpoint."""
        number: int = self.session.save().number
        return number

    def close(self) -> None:
        """End the session."""
        self.session.close()

    def refresh(self, keep: bool) -> None:
        """Take in what others saved."""
        self.session.refresh(keep_changes=keep)

    def show(self) -> dict[str, Any]:
        """All that the version sees."""
        shown: dict[str, Any] = ACTS.show(self.session.state)
        return shown

    def run(self, turns: list[list[list[Any]]]) -> None:
        """Save after each of several lists of acts, and tell when each is saved."""
        self.open({})
        for acts in turns:
            self.do(acts)
            say(self.save())
        self.close()


def say(told: Any) -> None:
    """Answer."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main(path: str) -> None:
    """Work until there are no more instructions."""
    worker = Worker(path)
    for line in sys.stdin:
        name, *given = json.loads(line)
        try:
            say({"done": getattr(worker, name)(*given)})
        except perdure.errors.PerdureError as error:
            reload = isinstance(error, perdure.errors.Reload)
            say({"error": type(error).__name__, "reload": reload, "message": str(error)})
    worker.store.close()


main(sys.argv[1])
