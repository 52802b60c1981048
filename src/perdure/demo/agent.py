"""The demo's agent: audits a code base, module by module, and can be killed at any moment.

It is run as `python -m perdure.demo.agent STORE KEY ROOT`. Everything it knows is in its state:
the plan (each task with the steps it has behind it), findings, decisions, progress and, at the end,
the report. It saves after each step, so whoever runs next takes up the very step that was under
way. Nothing here knows whether, when or how often it dies.

On standard output it tells its supervisor, one JSON object a line, what it starts and what was
saved. That is the witness the store is compared with; the agent itself never needs it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.demo.findings import examine, modules

if TYPE_CHECKING:
    from perdure import Session

STEPS = ("read", "examine", "decide")
"""Each module's task, step by step."""

WORTH_A_LOOK = 20
WORST_COUNT = 10


def tell(**event: Any) -> None:
    """One line for the supervisor, at once."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Agent:
    """One session of the audit: takes up what the state says is next until nothing is."""

    def __init__(self, session: Session, root: Path) -> None:
        self.session = session
        self.state: Any = session.state
        self.root = root

    def work(self) -> None:
        """Do whatever is not done yet, and report."""
        self.greet()
        if "plan" not in self.state:
            self.step("plan", "", self.plan)
        for task in self.state["plan"]:
            for name in STEPS[len(task["done"]) :]:
                self.step(task["module"], name, partial(getattr(self, name), task))
        if "report" not in self.state:
            self.step("report", "", self.report)
        tell(event="finished")

    def greet(self) -> None:
        """Tell, and keep, what this session took up."""
        resumed = self.session.resumed
        if resumed is None:
            tell(event="new")
        else:
            tell(event="resumed", number=resumed.checkpoint.number, ended=resumed.ended)
            note = f"took up from checkpoint {resumed.checkpoint.number}: the last session was "
            self.state.setdefault("notes", []).append(note + resumed.ended)

    def step(self, task: str, name: str, action: Any) -> None:
        """Do one step and save what came of it: done and kept, or not begun."""
        tell(event="start", task=task, step=name)
        action()
        saved = self.session.save(label=task if not name else None)
        tell(event="saved", task=task, step=name, number=saved.number, id=saved.id)

    def plan(self) -> None:
        """List the tasks, and lay out everything that will be known."""
        self.state["goal"] = {"audit": str(self.root), "python": sys.version.split()[0]}
        self.state["plan"] = [{"module": module, "done": []} for module in modules(self.root)]
        self.state["findings"] = []
        self.state["decisions"] = []
        self.state["progress"] = {"tasks": 0, "lines": 0, "findings": 0}

    def read(self, task: Any) -> None:
        """Measure the module."""
        source = (self.root / task["module"]).read_bytes()
        task["bytes"] = len(source)
        task["lines"] = source.count(b"\n")
        task["done"].append("read")

    def examine(self, task: Any) -> None:
        """Parse it and record what is wrong with it."""
        found = examine((self.root / task["module"]).read_bytes())
        self.state["findings"].extend({"module": task["module"], **each} for each in found)
        task["findings"] = len(found)
        task["done"].append("examine")

    def decide(self, task: Any) -> None:
        """Decide what should be done about it; with that the task is done."""
        verdict, why = judge(task["findings"], task["lines"])
        self.state["decisions"].append({"module": task["module"], "verdict": verdict, "why": why})
        task["done"].append("decide")
        progress = self.state["progress"]
        progress["tasks"] += 1
        progress["lines"] += task["lines"]
        progress["findings"] += task["findings"]
        self.session.summary = (
            f"audited {progress['tasks']} of {len(self.state['plan'])} modules, "
            f"{progress['findings']:,} findings"
        )

    def report(self) -> None:
        """Sum it all up."""
        kinds = Counter(each["kind"] for each in self.state["findings"])
        verdicts = Counter(each["verdict"] for each in self.state["decisions"])
        worst = sorted(self.state["plan"], key=lambda task: (-task["findings"], task["module"]))
        self.state["report"] = {
            "modules": len(self.state["plan"]),
            "lines": self.state["progress"]["lines"],
            "findings": dict(kinds.most_common()),
            "verdicts": dict(sorted(verdicts.items())),
            "worst": {task["module"]: task["findings"] for task in worst[:WORST_COUNT]},
        }


def judge(findings: int, lines: int) -> tuple[str, str]:
    """What to do about a module, and why."""
    if not findings:
        return "leave", "nothing found"
    density = 1000 * findings / max(lines, 1)
    if density < WORTH_A_LOOK:
        return "note", f"{density:.1f} findings in 1000 lines"
    return "look closer", f"{density:.1f} findings in 1000 lines"


def main(store_path: str, key: str, root: str) -> None:
    """Be one life of the agent."""
    from perdure import Store

    with Store(store_path) as store, store.open(key) as session:
        Agent(session, Path(root)).work()


if __name__ == "__main__":
    main(*sys.argv[1:])
