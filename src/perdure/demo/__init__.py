"""The demo: an agent at real work is killed again and again, and its work comes out the same.

The agent (`agent`) audits a Python code base, one task a module, saves after each step, and appends
a line for each module to a file. Its supervisor (`supervisor`) kills it with SIGKILL at random
moments, also while it is at that file, and starts it again. A witness (`witness`), fed by a pipe
that survives every kill, knows which saves were acknowledged and which steps were finished, and
looks for each of them in the store. In the end the outcome is compared with that of a second agent
that nobody disturbed.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from rich.console import Console

    from perdure import Store
    from perdure.demo.supervisor import Supervisor
    from perdure.demo.witness import Witness

SEED_BITS = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing the demo shows, and whether it was so."""

    claim: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything the demo found out, as `--json` prints it."""

    ok: bool
    store: str
    key: str
    undisturbed_key: str
    root: str
    seed: int
    modules: int
    kills: int
    sessions: int
    saves: int
    unanswered: int
    steps_cut: int
    seconds: float
    undisturbed_seconds: float
    report: dict[str, Any]
    lines: int
    reconciled: int
    proofs: tuple[Proof, ...]
    commands: tuple[str, ...]


def main(path: Path | None, kills: int, seed: int | None, json: bool) -> int:
    """Run the demo and print what came of it. Gives the exit code.

    Args:
        path: The code base to audit; by default the standard library of this Python.
        kills: How many times to kill the agent.
        seed: Draws the moments of the kills; by default a new one, which is printed.
        json: Print one JSON object at the end and nothing else.

    Returns:
        0, or 1 if a proof failed or the agent ended before its work was done.

    Raises:
        click.UsageError: There is nothing to audit below `path`.
    """
    import click
    from rich.console import Console

    from perdure.demo.findings import modules
    from perdure.demo.supervisor import AgentFailed

    root = (path or Path(sysconfig.get_path("stdlib"))).resolve()
    tasks = len(modules(root))
    if not tasks:
        raise click.UsageError(f"there is no Python file to audit below {root}")
    seed = secrets.randbits(SEED_BITS) if seed is None else seed
    console = Console()
    try:
        outcome = run(root, tasks, kills, seed, console, silent=json)
    except AgentFailed as error:
        Console(stderr=True).print(f"the agent failed:\n{error}", markup=False, highlight=False)
        return 1
    if json:
        from json import dumps

        click.echo(dumps(asdict(outcome), indent=2))
    else:
        show(outcome, console)
    return 0 if outcome.ok else 1


def run(
    root: Path, tasks: int, kills: int, seed: int, console: Console, *, silent: bool
) -> Outcome:
    """Let one agent be killed and another be undisturbed, and compare them."""
    from perdure import Store
    from perdure.demo.display import display_for
    from perdure.demo.supervisor import Supervisor, kill_moments
    from perdure.demo.witness import place_for_store

    store_path = str(place_for_store() / "agents.db")
    with Store(store_path) as store:
        number = first_free(store, store_path)
    display = display_for(console, silent=silent)
    moments = kill_moments(tasks, kills, random.Random(seed))
    tried = Supervisor(store_path, f"audit/{number}", root, display, moments)
    calm = Supervisor(store_path, f"undisturbed/{number}", root, display)
    for agent, title in (
        (tried, f"An agent audits {root} and is killed {kills} times (seed {seed})"),
        (calm, "Another does the same work undisturbed"),
    ):
        display.begin(title, tasks)
        try:
            agent.run()
        except KeyboardInterrupt:
            tell_what_is_kept(tried)
            raise
        finally:
            display.end()
    return judge(tried, calm, seed)


def tell_what_is_kept(agent: Supervisor) -> None:
    """Say, when the demo is interrupted, where its store is."""
    from rich.console import Console

    kept = next(commands(agent.store_path, agent.key))
    Console(stderr=True).print(
        f"interrupted; everything saved is kept in {agent.store_path}. Look into it: {kept}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def first_free(store: Store, store_path: str) -> int:
    """The first number under which there is no audit yet, so that none is overwritten."""
    from perdure import StateNotFound
    from perdure.demo.agent import report_file

    for number in itertools.count(1):
        keys = f"audit/{number}", f"undisturbed/{number}"
        if any(report_file(store_path, key).exists() for key in keys):
            continue
        try:
            store.info(keys[0])
        except StateNotFound:
            return number
    raise AssertionError("unreachable: counting has no end")


def judge(tried: Supervisor, calm: Supervisor, seed: int) -> Outcome:
    """Compare what came of both agents, and gather the numbers."""
    from perdure.demo.witness import content

    found = content(tried.store_path, tried.key, tried.file)
    expected = content(calm.store_path, calm.key, calm.file)
    proofs = tuple(prove(tried, found, expected))
    witness = tried.witness
    return Outcome(
        ok=all(proof.ok for proof in proofs),
        store=tried.store_path,
        key=tried.key,
        undisturbed_key=calm.key,
        root=str(tried.root),
        seed=seed,
        modules=found["report"]["modules"],
        kills=tried.kills,
        sessions=tried.sessions,
        saves=len(witness.saved) + witness.unanswered,
        unanswered=witness.unanswered,
        steps_cut=witness.cut,
        seconds=round(tried.seconds, 2),
        undisturbed_seconds=round(calm.seconds, 2),
        report=found["report"],
        lines=len(found["lines"]),
        reconciled=witness.happened + witness.did_not,
        proofs=proofs,
        commands=tuple(commands(tried.store_path, tried.key)),
    )


def prove(tried: Supervisor, found: dict[str, Any], expected: dict[str, Any]) -> Iterator[Proof]:
    """What was promised, each with the numbers behind it."""
    from perdure import Store
    from perdure.demo.witness import fingerprint

    witness = tried.witness
    yield Proof(
        "nothing saved was lost",
        not witness.lost,
        about_saves(witness, tried.kills)
        + (f"; lost: {', '.join(witness.lost)}" if witness.lost else ""),
    )
    yield Proof(
        "no finished step was redone",
        not witness.redone,
        about_steps(witness) + (f"; redone: {witness.redone}" if witness.redone else ""),
    )
    yield prove_lines(tried, found)
    yield Proof(
        "the report is that of an undisturbed run",
        found == expected,
        f"content {fingerprint(found)}, undisturbed {fingerprint(expected)}",
    )
    with Store(tried.store_path) as store:
        problems = [each for each in store.verify(tried.key) if not each.ok]
    yield Proof(
        "the store verifies", not problems, "; ".join(str(each.problem) for each in problems)
    )


def prove_lines(tried: Supervisor, found: dict[str, Any]) -> Proof:
    """Whether the file has one line for each module, however often the agent died over it."""
    from collections import Counter

    from perdure import Store

    modules = [name for name in found["plan"] if name not in ("plan", "report")]
    counted = Counter(line.partition("\t")[0] for line in found["lines"])
    wrong = sorted(name for name in {*modules, *counted} if counted[name] != (name in modules))
    with Store(tried.store_path) as store:
        unknown = [each.key for each in store.effects(tried.key) if each.status != "done"]
    happened, did_not = tried.witness.happened, tried.witness.did_not
    detail = f"{count(len(found['lines']), 'line')} in {tried.file} for "
    detail += (
        f"{count(len(modules), 'module')}; of {count(happened + did_not, 'unknown outcome')}, "
    )
    detail += f"{happened} had happened and {did_not} had not"
    for what, names in (("not there once", wrong), ("unknown", unknown)):
        if names:
            detail += f"; {what}: {', '.join(names)}"
    claim = "each line that it appended to a file is there once"
    return Proof(claim, not wrong and not unknown, detail)


def about_saves(witness: Witness, kills: int) -> str:
    """How many saves there were, so that they add up."""
    text = f"{count(len(witness.saved), 'acknowledged save')}, "
    text += f"looked up after each of {count(kills, 'kill')}" if kills else "looked up at the end"
    if witness.unanswered:
        text += f"; {witness.unanswered:,} more took effect, though a kill cut off the answer"
    return text


def about_steps(witness: Witness) -> str:
    """How many steps there were and how often one was begun, so that they add up."""
    text = f"{count(witness.starts, 'start')} for {count(len(witness.finished), 'step')}"
    if witness.cut:
        text += f", {count(witness.cut, 'step')} being killed before the save and begun again"
    return text


def commands(store_path: str, key: str) -> Iterator[str]:
    """What to type to look into what was kept."""
    program = program_here()
    looks = ("ls", f"brief {key}", f"tasks {key}", f"effects list {key}", f"show {key}")
    more = (f"log {key}", f"sessions {key}", f"verify {key}")
    for command in (*looks, *more, f"prune {key} --keep-last 20 --dry-run"):
        yield f"{program} --store {quoted(store_path)} {command}"


def program_here() -> str:
    """How this program is run from here, where `perdure` may be another one or none."""
    own = shutil.which("perdure", path=sysconfig.get_path("scripts"))
    if own is None:
        return f"{quoted(sys.executable)} -m perdure"
    known = shutil.which("perdure")
    if known is not None and os.path.samefile(known, own):
        return "perdure"
    with suppress(OSError, ValueError):  # there is no working directory, or it is not below it
        own = str(Path(own).relative_to(Path.cwd()))
    return quoted(own)


def quoted(text: str) -> str:
    """One word of a command, as the shell of this system takes it."""
    if os.name == "nt":
        from subprocess import list2cmdline

        return list2cmdline([text])
    from shlex import quote

    return quote(text)


def show(outcome: Outcome, console: Console) -> None:
    """Print the outcome for people."""

    def say(text: str = "", style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    report = outcome.report
    say()
    say(f"{report['modules']} modules, {report['lines']:,} lines; findings:", "bold")
    for kind, found in report["findings"].items():
        say(f"  {found:6,}  {kind}")
    say()
    say(
        f"{count(outcome.sessions, 'session')}, {count(outcome.kills, 'kill')}, "
        f"{count(outcome.saves, 'save')} in "
        f"{outcome.seconds:.1f} s (undisturbed: {outcome.undisturbed_seconds:.1f} s)",
        "bold",
    )
    for proof in outcome.proofs:
        say(f"  {'yes' if proof.ok else 'NO '}  {proof.claim}", "green" if proof.ok else "red")
        say(f"       {proof.detail}" if proof.detail else "", "dim")
    say(f"Everything is kept in {outcome.store}. Look into it:", "bold")
    for command in outcome.commands:
        say(f"  {command}")
