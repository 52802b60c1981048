"""`docs/cli.md`, made from the commands themselves: `python -m perdure.cli.reference` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import click

from perdure.adapters.moving import Moved, MovedUnit, Tally
from perdure.agent.briefing import Briefing, BriefingItem
from perdure.agent.children import Child
from perdure.agent.plan import Progress
from perdure.agent.receipt import LossReceipt
from perdure.cli.app import EXIT_CODES, HELP_OPTIONS, app
from perdure.cli.context import REF_FORMS
from perdure.cli.findings import Finding
from perdure.core.json_forms import FORMS
from perdure.recovering import Recovered, RecoveredState
from perdure.reports import (
    Damage,
    ErasedLife,
    Erasure,
    Exported,
    KeyInfo,
    Maintained,
    MaintenanceStep,
    Pruned,
    PrunedBranch,
    Redaction,
    Rekeyed,
    Stats,
    Unreferenced,
    Upgraded,
    UpgradeStep,
    Verified,
)
from perdure.schemas.compare import SchemaDifference
from perdure.schemas.present import SchemaVersion, UnreadableState
from perdure.schemas.report import Migrated, MigrationRun, Unmigrated
from perdure.types import (
    BranchInfo,
    Checkpoint,
    EffectInfo,
    FoundSecret,
    Loss,
    Movement,
    Question,
    SessionInfo,
    StateInfo,
    Tip,
)

WIDTH = 100

DOCUMENTS = {
    "ls": '{"states": [StateInfo], "next": KEY or null}',
    "show": '{"checkpoint": Checkpoint, "path": PATH, "value": VALUE}',
    "log": '{"checkpoints": [Checkpoint], "next": REF or null}',
    "diff": '{"differences": [{"kind", "path", "before", "after", "summary"}]}',
    "blame": '{"checkpoint": Checkpoint}',
    "effects list": '{"effects": [EffectInfo]}',
    "effects settle": '{"effect": EffectInfo}',
    "waiting": '{"questions": [Question]}',
    "answer": '{"question": Question}',
    "brief": '{"briefing": Briefing, "markdown": TEXT}',
    "tasks": '`{"progress": Progress, "tasks": [TASK]}`; with `--children` each Child also, in '
    "`children`",
    "sessions": '{"sessions": [SessionInfo]}',
    "branches": '{"branches": [BranchInfo]}',
    "fork": '{"branch": BranchInfo, "made": BOOL}',
    "rollback": '{"movement": Movement or null}',
    "promote": '{"movement": Movement or null}',
    "merge": '{"merge": Merge or null}',
    "branch rename": '{"movement": Movement or null}',
    "branch delete": '{"movement": Movement}',
    "undo": '{"movement": Movement}',
    "redo": '{"movement": Movement}',
    "movements": '{"movements": [Movement]}',
    "watch": '{"checkpoint": Checkpoint, "cursor": TEXT}, a line for each checkpoint',
    "export": '{"file": PATH, and the fields of Exported}',
    "import": '{"state": StateInfo}',
    "import langgraph": '{"ok": BOOL, "moved": Moved}',
    "import openai-agents": '{"ok": BOOL, "moved": Moved}',
    "backup": '{"file": PATH, "bytes": NUMBER}',
    "copy": '{"state": StateInfo}',
    "rm": '{"state": StateInfo}',
    "undelete": '{"state": StateInfo}',
    "verify": '{"ok": BOOL, "states": [Verified], "unreferenced": [Unreferenced]}',
    "recover": '{"ok": BOOL, "recovered": Recovered}',
    "stats": '{"states": [Stats], "unreadable": [KEY]}',
    "scan": '{"found": [FoundSecret]}',
    "maintain": '{"states": [Maintained], "compacted": NUMBER}',
    "migrate": '`{"migration": Migrated}`; of `--undo` an Unmigrated as `undone`; of `--list` '
    "a list of MigrationRun as `runs`",
    "upgrade": '{"ok": BOOL, "upgraded": Upgraded}',
    "keys new": '{"file": PATH, "root": TEXT}',
    "keys init": '{"ok": BOOL, "done": Rekeyed}',
    "keys list": '{"keys": KeyInfo or null}',
    "keys rotate": '{"keys": KeyInfo}',
    "keys rewrap": '{"ok": BOOL, "done": Rekeyed}',
    "schema versions": '{"versions": [SchemaVersion], "unreadable": [UnreadableState]}',
    "schema infer": '{"schema": SCHEMA, "states": NUMBER, "unreadable": [UnreadableState]}',
    "schema compare": '{"differences": [SchemaDifference]}',
    "schema draft": '{"source": TEXT}',
    "prune": '{"states": [Pruned], "compacted": NUMBER}',
    "erase": '{"states": [Erasure], "erased": [ErasedLife]}',
    "redact": '{"redaction": Redaction}',
    "sweep": '{"states": [StateInfo], "dry_run": BOOL}',
    "doctor": '{"ok": BOOL, "findings": [Finding]}',
    "demo": "what the demo found out: `ok`, `store`, `key` and its numbers",
}
"""What each command prints under --json. Keys may come to be added; none changes its meaning."""

RESULTS = (
    *(StateInfo, Checkpoint, SessionInfo, BranchInfo, Tip, Movement, Exported, Erasure, ErasedLife),
    *(Verified, Damage, Recovered, RecoveredState, Loss, Unreferenced, Stats, FoundSecret),
    *(Moved, MovedUnit, Tally),
    *(Maintained, MaintenanceStep, Migrated, MigrationRun, Unmigrated),
    *(SchemaVersion, UnreadableState, SchemaDifference),
    *(
        EffectInfo,
        Question,
        Upgraded,
        UpgradeStep,
        Rekeyed,
        KeyInfo,
        Pruned,
        PrunedBranch,
        Redaction,
        Finding,
        Briefing,
        BriefingItem,
    ),
    LossReceipt,
    Child,
    Progress,
)


def document() -> str:
    """All of `docs/cli.md`."""
    parts = [_START, *_commands(), *_references(), _JSON, *_json(), *_exit_codes()]
    return "\n".join(parts) + "\n"


_START = """# The command line

<!-- Generated by `python -m perdure.cli.reference`; a test compares the two. -->

`perdure` looks into a store, moves states about, and checks them. Name the store with
`--store PATH`, before or after the command, or set `PERDURE_STORE`. Commands that only read never
make a store, and never write to one.

Lists are aligned text, one line an entry. On a terminal they are shortened to its width: times to
their age, then the widest columns, with a "…" where something was left out. In a pipe they are
whole and without colour. Hints about the output go to stderr. `NO_COLOR` is respected. Whatever
could steer a terminal in what a state holds is written as an escape. Times are UTC.
"""

_NEVER_GUESSED = """
`label:` and `time:` are the command line's spelling of `perdure.label(…)` and `perdure.time(…)`: a
label or a time is never guessed from a bare word.
"""

_JSON = """## JSON

Under `--json` a command prints one JSON document, in ASCII, and an error is one on stderr:
`{"error": {"kind", "message"}}`, where `kind` is that of the library's error, or `usage`.
"""

_TIMES = """
Times in them are ISO 8601 in UTC, to the microsecond. A checkpoint has `changes` under
`log --changes` and `watch --changes` only: each has its `kind` (`set`, `delete`, `splice`,
`members`), its `path`, and what it holds. A movement has `differences` under `--dry-run` only, as
`diff` gives them, and so has a merge, which has `changes` as checkpoints have them too, and of its
`conflicts` each has its `path`, the values of both sides and what there was before. Paths are
written as `perdure show` takes them. Each checkpoint has the hash of its `parent`, so that
`log --all --json` is the graph that `log --graph --all` draws.
"""


def _commands() -> Iterator[str]:
    root = click.Context(
        app,
        info_name="perdure",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=HELP_OPTIONS,
    )
    yield f"```text\n{_help(app, root)}\n```\n"
    for name, (command, context) in every_command(app.commands, root).items():
        yield f"## `perdure {name}`\n\n```text\n{_help(command, context)}\n```\n"


def every_command(
    commands: Mapping[str, click.Command], parent: click.Context | None = None, above: str = ""
) -> dict[str, tuple[click.Command, click.Context]]:
    """By full name the commands, those in groups too."""
    found: dict[str, tuple[click.Command, click.Context]] = {}
    for name, command in commands.items():
        context = click.Context(command, parent=parent, info_name=name)
        found[above + name] = command, context
        if isinstance(command, click.Group):
            found |= every_command(command.commands, context, f"{above}{name} ")
    return found


def _references() -> Iterator[str]:
    yield "## References\n\nWherever a command takes a REF, a checkpoint is named by one of:\n"
    yield "| | |\n| --- | --- |"
    for form, meaning in REF_FORMS.items():
        yield f"| `{form}` | {meaning} |"
    yield _NEVER_GUESSED


def _help(command: click.Command, context: click.Context) -> str:
    text = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _json() -> Iterator[str]:
    yield "| command | document |\n| --- | --- |"
    for name, shape in DOCUMENTS.items():
        yield f"| `{name}` | {shape if '`' in shape else f'`{shape}`'} |"
    yield "\nThe results in them have the fields of the Python results of the same name:\n"
    for result in RESULTS:
        names = ", ".join(f"`{name}`" for name in result.__struct_fields__)
        yield f"- `{result.__name__}`: {names}"
    yield _TIMES
    yield "Values of a state that JSON has no form for are objects with one key:\n"
    yield "| key | value |\n| --- | --- |"
    for tag, meaning in FORMS.items():
        yield f"| `{tag}` | {meaning} |"
    yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n\n| code | meaning |\n| --- | --- |"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(document())
