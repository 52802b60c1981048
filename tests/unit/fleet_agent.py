"""A schema with migrations, for the tests of fleets and of their command; and a process to kill."""

import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

from perdure import Store, lenses
from perdure.schemas.declare import migration, schema


@schema("Research", version=2)
@dataclass
class Research:
    subject: str = ""
    budget: int = 0


migration(Research, 0, 2, [lenses.rename("topic", "subject"), lenses.add("budget", 0)])


@schema("Plan", version=1)
@dataclass
class Plan:
    steps: int = 0


@migration(Plan, 0, 1)
def counted(state: dict[str, Any]) -> None:
    """Steps are counted; those that are no list fail."""
    state["steps"] = len([*state["steps"]])


if __name__ == "__main__":

    def report(done: int, _total: int) -> None:
        if done > int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    with Store(sys.argv[1], maintenance="off") as store:
        store.migrate("", Research, progress=report)
