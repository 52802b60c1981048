"""What the demo shows while it runs: nothing, plain lines, or a live picture on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.core.abbreviate import count
from perdure.demo.witness import Step, Witness

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

LINES_PER_RUN = 5


class Display:
    """Told what happens, and shows none of it (`--json`)."""

    def begin(self, title: str, tasks: int) -> None:
        """A new agent sets out on so many tasks."""

    def heard(self, event: dict[str, Any], witness: Witness) -> None:
        """The agent told something, and the witness has taken it in."""

    def killed(self, current: Step) -> None:
        """The agent was killed while at this step."""

    def compared(self, witness: Witness) -> None:
        """The store was opened and compared with what had been acknowledged."""

    def end(self) -> None:
        """Nothing more will happen to this agent."""


class Lines(Display):
    """A line for each thing worth one, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tasks = 0
        self.next_line = 0

    def say(self, text: str) -> None:
        """Print a line, as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, title: str, tasks: int) -> None:
        """A new agent sets out on so many tasks."""
        self.say(title)
        self.tasks = tasks
        self.next_line = 0

    def heard(self, event: dict[str, Any], witness: Witness) -> None:
        """The agent told something, and the witness has taken it in."""
        if event["event"] == "resumed":
            self.say(f"  session took up from checkpoint {event['number']}: {event['ended']}")
        elif event["event"] == "saved" and witness.tasks_done() >= self.next_line:
            done = witness.tasks_done()
            self.say(f"  {done} of {self.tasks} modules, {count(len(witness.saved), 'save')}")
            self.next_line = done + max(1, self.tasks // LINES_PER_RUN)

    def killed(self, current: Step) -> None:
        """The agent was killed while at this step."""
        self.say(f"  KILLED at {describe(current)}")

    def compared(self, witness: Witness) -> None:
        """The store was opened and compared with what had been acknowledged."""
        looked_up = count(len(witness.saved), "acknowledged save")
        self.say(f"  {looked_up} looked up in the store: {len(witness.lost)} lost")


class Picture(Display):
    """A live picture: progress, the step under way, and every session with how it ended."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Live | None = None
        self.title = ""
        self.tasks = 0
        self.done = 0
        self.current: Step = ("", "")
        self.sessions: list[list[str]] = []

    def begin(self, title: str, tasks: int) -> None:
        """A new agent sets out on so many tasks."""
        from rich.live import Live

        self.title, self.tasks, self.done, self.sessions = title, tasks, 0, []
        self.live = Live(self, console=self.console, refresh_per_second=8)
        self.live.start()

    def heard(self, event: dict[str, Any], witness: Witness) -> None:
        """The agent told something, and the witness has taken it in."""
        if event["event"] in ("new", "resumed"):
            start = f"checkpoint {event['number']}" if "number" in event else "nothing"
            self.sessions.append([start, "", "at work"])
        self.done = witness.tasks_done()
        self.current = witness.current
        if self.sessions:
            self.sessions[-1][1] = str(len(witness.saved))
        if event["event"] == "finished":
            self.sessions[-1][2] = "[green]finished[/]"

    def killed(self, current: Step) -> None:
        """The agent was killed while at this step."""
        from rich.markup import escape

        if self.sessions:
            self.sessions[-1][2] = f"[red]killed[/] at {escape(describe(current))}"

    def end(self) -> None:
        """Nothing more will happen to this agent."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, self.tasks), completed=self.done, width=40),
            f"{self.done} of {self.tasks} modules",
        )
        table = Table("session", "took up from", "saves by then", "fate", box=None, padding=(0, 2))
        for number, row in enumerate(self.sessions, start=1):
            table.add_row(str(number), *row)
        now = Text(f"now: {describe(self.current)}", style="dim", no_wrap=True, overflow="ellipsis")
        return Group(Text(self.title, style="bold"), bar, now, table)


def describe(step: Step) -> str:
    """A step in words."""
    task, name = step
    return f"{name} {task}" if name else task or "the start"


def display_for(console: Console, *, silent: bool) -> Display:
    """A live picture on a terminal, else lines; nothing where only data is wanted."""
    if silent:
        return Display()
    return Picture(console) if console.is_terminal else Lines(console)
