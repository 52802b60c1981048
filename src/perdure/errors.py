"""Every error Perdure raises, grouped by what a handler would do.

`Retryable`: try again later. `Reload`: what you hold is out of date; read again. `NeedsPerson`:
somebody must look at the store or the machine. `UsageError`: fix the call. Each class has a
stable `kind`, which the command line and events print and which never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from perdure.core.changes import Change
    from perdure.core.merge import MergeConflict
    from perdure.core.paths import Path
    from perdure.types import Checkpoint, FoundSecret, LeaseInfo


class PerdureError(Exception):
    """Root of all errors of this library."""

    kind: ClassVar[str] = "perdure"
    session: Any = None
    """The still usable session, when the save at the end of its `with` block failed."""


class Retryable(PerdureError):
    """Nothing was lost and nothing was done, or it is known how to settle it: try again."""

    kind = "retryable"


class Reload(PerdureError):
    """What you hold is out of date: refresh or open again."""

    kind = "reload"


class NeedsPerson(PerdureError):
    """The store, its bytes or the machine need a person's attention."""

    kind = "needs-person"


class UsageError(PerdureError):
    """The call was wrong; the message says how to right it."""

    kind = "usage"


# ---- of an agent's own work -----------------------------------------------------------------


class StepFailed(PerdureError):
    """A step of a task failed, now or in an earlier session, and has no attempt left.

    What its function raised is the cause (`__cause__`) where it was raised now. Its type and text,
    `error_type` and `error_message`, are kept, and the same in every session; so are `task`, `step`
    and the number of `attempts`.
    """

    kind = "step-failed"

    def __init__(
        self,
        message: str,
        *,
        task: str = "",
        step: str = "",
        error_type: str = "",
        error_message: str = "",
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.step = step
        self.error_type = error_type
        self.error_message = error_message
        self.attempts = attempts


# ---- Retryable ------------------------------------------------------------------------------


class Busy(Retryable):
    """Others kept the store, or a branch of a state, for too long. Nothing was written; try again.

    Where another session holds the branch exclusively, `lease` says who: its process, and since
    when.
    """

    kind = "busy"

    def __init__(self, message: str, *, lease: LeaseInfo | None = None) -> None:
        super().__init__(message)
        self.lease = lease


class CommitUnknown(Retryable):
    """The answer to a commit was lost: it may have taken effect.

    Save again: the same record is sent under the same id and commits once (P4).
    """

    kind = "commit-unknown"


class Waiting(Retryable):
    """The agent waits: for an answer, or for a time. Open the state again when it is there.

    What was not saved is, and the session's end is recorded as waiting. `id` is that of the
    question or timer.
    """

    kind = "waiting"
    id: str = ""


class StorageFull(Retryable):
    """The disk or the quota is full. Nothing was written; make room and save again."""

    kind = "storage-full"


class TaskTaken(Retryable):
    """Another session is at this task. Take another one, or come back when it has ended."""

    kind = "task-taken"


# ---- Reload ---------------------------------------------------------------------------------


class Conflict(Reload):
    """Someone else saved to this branch since this session read it (P3). Nothing was overwritten.

    `branch` is the branch, `mine` are the changes this session could not save, `theirs` the
    checkpoints that came in between, `their_changes` what those changed, and `overlap` the sections
    both sides touched.
    Without an overlap, `session.refresh(keep_changes=True)` takes theirs in and keeps yours. With
    one, keep what you need of `mine`, call `session.refresh()`, which gives yours up, and make your
    edits again.
    """

    kind = "conflict"

    def __init__(
        self,
        message: str,
        *,
        branch: str = "main",
        mine: Sequence[Change] = (),
        theirs: Sequence[Checkpoint] = (),
        their_changes: Sequence[Change] = (),
        overlap: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.branch = branch
        self.mine = tuple(mine)
        self.theirs = tuple(theirs)
        self.their_changes = tuple(their_changes)
        self.overlap = tuple(overlap)


class BranchMoved(Conflict):
    """The branch was moved off the checkpoint that this session is at, by a rollback or the like.

    Nothing was saved, and what the session saved before is still there: `store.movements` tells
    where. `session.refresh()` gives up its unsaved edits and goes on where the branch is now.
    """

    kind = "branch-moved"


class Redacted(Reload):
    """Something was redacted since this session read the state (`Store.redact`).

    What it read, and so what it would save, may have it still: nothing was saved, merged or put on
    a branch of its own. `mine` are the changes that it could not save. `session.refresh()` gives
    them up and shows what is there now; make your edits again then.
    """

    kind = "redacted"

    def __init__(self, message: str, *, mine: Sequence[Change] = ()) -> None:
        super().__init__(message)
        self.mine = list(mine)


class LeaseLost(Reload):
    """This session held its branch exclusively, and does not any more: another one took it over.

    That happens to one whose process was stopped, or cut off from the store, for so long that it
    had to be taken for dead. Nothing was saved. `session.changes()` tells what was not;
    `session.refresh()` gives that up. Open the state again to go on.
    """

    kind = "lease-lost"


class MergeConflicts(Reload):
    """Both branches changed the same places, and no strategy says which is right (P3).

    `conflicts` are these places, each with both values; nothing was changed. Of a session that
    merges (`open(on_conflict="merge")`) they are what it and others changed: say in
    `session.strategies` which side is right and save again, or give its edits up by `refresh`.
    """

    kind = "merge-conflicts"

    def __init__(self, message: str, *, conflicts: Sequence[MergeConflict] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class SchemaChanged(Reload):
    """The state was migrated to another version of its schema while this session was open.

    What the session holds is in the layout of the former version. Nothing was saved or lost:
    `session.changes()` tells what was not. Open the state again, and make the edits again. Also
    raised where branches in different versions were to be merged.
    """

    kind = "schema-changed"


class AlreadyClaimed(Reload):
    """The effect was claimed before: on another branch, by another process, or before a rollback.

    It was not performed again. `is_running` says whether another process is at it this moment;
    else it happened, and `result` is what it gave.
    """

    kind = "already-claimed"
    result: Any = None
    is_running: bool = False


class StateDeleted(Reload):
    """The state was deleted (and perhaps made anew) since this session opened it."""

    kind = "state-deleted"


class Erased(StateDeleted):
    """The state, or the life of it that this was about, was erased: it is gone for good (P8).

    Nothing was saved, and nothing can be. The name can be used anew: open it again. `at` says when
    it was erased, where that is known.
    """

    kind = "erased"

    def __init__(self, message: str, *, at: datetime | None = None) -> None:
        super().__init__(message)
        self.at = at


# ---- NeedsPerson ----------------------------------------------------------------------------


Form: TypeAlias = Literal[
    "", "content", "metadata", "moved", "forged", "missing", "truncated", "replaced", "older"
]
"""How damage looks; `Damaged.form` says what each means."""

E = TypeVar("E", bound=PerdureError)


def retold(error: E, message: str) -> E:
    """The same error, all that it tells included, with another message."""
    new = type(error)(message)
    new.__dict__.update(error.__dict__)
    return new


class Damaged(NeedsPerson):
    """Stored bytes are not what was written there (P5). The message names the place.

    So does `place`, where one is known, such as `"record 17 on line 0 of 5f2e81c09a34"`. `form`
    says how it looks: `"content"` (bytes are not those that were sealed at this place),
    `"metadata"` (what stands beside the bytes does not fit them), `"moved"` (they belong elsewhere
    in the store), `"forged"` (they were made by somebody who lacks the key), `"missing"`,
    `"truncated"` (the newest is missing), `"replaced"` (sealed for this place, but not what the
    chain names), `"older"` (an older version was put back), or `""`: none of these.
    """

    kind = "damaged"

    def __init__(self, message: str, *, form: Form = "", place: str = "") -> None:
        super().__init__(message)
        self.form: Form = form
        self.place = place


class SectionDamaged(Damaged):
    """One section cannot be read; `section` is its name. The others can, and can be saved.

    Setting the section anew gives up what it held. A backup may still have it.
    """

    kind = "section-damaged"

    def __init__(
        self, message: str, *, section: str = "", form: Form = "", place: str = ""
    ) -> None:
        super().__init__(message, form=form, place=place)
        self.section = section


class Tampered(Damaged):
    """What a store with a key, or with an anchor, holds is not what was saved to it (P5).

    Nobody who lacks the key can make bytes that are taken for sealed ones: they were changed, moved
    here from elsewhere, cut away, or written by somebody who has no key; or the anchor knows that
    there was something newer. `form` says which, and `place` where. An accident looks the same.
    """

    kind = "tampered"


class SectionTampered(SectionDamaged, Tampered):
    """One section of a state in a store with a key cannot be read; see `SectionDamaged`."""

    kind = "section-tampered"


class KeyMissing(NeedsPerson):
    """The store, or a state in it, is encrypted, and its key is not here. The message names it."""

    kind = "key-missing"


class WrongKey(NeedsPerson):
    """The key that was given is not the store's. The message names both."""

    kind = "wrong-key"


class NotEncrypted(NeedsPerson):
    """A key was given for a store that has states in the clear: `perdure keys init` encrypts it."""

    kind = "not-encrypted"


class Malformed(NeedsPerson):
    """Bytes that are not in Perdure's format."""

    kind = "malformed"


class ReplayMismatch(NeedsPerson):
    """A change does not fit the state it should apply to."""

    kind = "replay-mismatch"


class NotAStore(NeedsPerson):
    """The file is something else. It was not touched."""

    kind = "not-a-store"
    is_empty: bool = False
    """Whether it holds nothing at all: somebody may be making a store in it just now."""


UPGRADE = "nothing was touched. Upgrade: pip install --upgrade perdure"
"""The way out where a newer version wrote something: how such a message ends."""


GIVE_KEY = "give it: Store(url, key=…), on the command line --key or PERDURE_KEY"
"""The way out where a key is missing: how such a message ends."""


class NewerFormat(NeedsPerson):
    """Written by a newer Perdure than this one. Upgrade; nothing was touched (P10)."""

    kind = "newer-format"


class OlderFormat(NeedsPerson):
    """Written by an earlier Perdure, in a form that is upgraded first: `perdure upgrade`."""

    kind = "older-format"


class ReadOnlyStore(NeedsPerson):
    """The store cannot be written to here."""

    kind = "read-only"


class StoreUnavailable(NeedsPerson):
    """The store cannot be reached or made: no such directory, no permission, an I/O error."""

    kind = "unavailable"


class NetworkFilesystem(NeedsPerson):
    """SQLite's locks cannot be trusted on this file system; keep the store on a local disk."""

    kind = "network-filesystem"


class UnsafeLibrary(NeedsPerson):
    """The installed SQLite library is known to corrupt databases used as we use them."""

    kind = "unsafe-library"


class UnknownOutcome(NeedsPerson):
    """Whether an action on the world happened is not known; it was not repeated (P9).

    `effect` says which. Give a `reconcile` that asks the world, say `repeatable=True` where the
    service knows the idempotency key, or settle it: `perdure effects settle`.
    """

    kind = "unknown-outcome"
    effect: Any = None
    """The `perdure.agent.Effect`."""


class RunTaken(NeedsPerson):
    """A run that was kept was taken up before: its tools may have run (P9).

    `by` is the id of the session that took it up, `at` when, and `is_running` whether that session
    may still be at it. Find out what its tools did; then take it up all the same, or drop it.
    """

    kind = "run-taken"

    def __init__(
        self, message: str, *, by: str = "", at: datetime | None = None, is_running: bool = False
    ) -> None:
        super().__init__(message)
        self.by = by
        self.at = at
        self.is_running = is_running


class TooManyOpen(NeedsPerson):
    """A state has so many effects of unknown outcome that no other one is claimed in it.

    Find out what became of them, and settle them: `perdure effects KEY --unknown`.
    """

    kind = "too-many-open"


class QuestionExpired(NeedsPerson):
    """Nobody answered a question in time."""

    kind = "question-expired"


class MigrationFailed(NeedsPerson):
    """A value does not go from one version of a state to another; `path` says where it is.

    Nothing was changed. The message names the step and what to do.
    """

    kind = "migration-failed"

    def __init__(self, message: str, *, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path


class BadStored(NeedsPerson):
    """What is stored does not fit the schema; `path` says where.

    The section can still be read and mended as it is stored: `session.raw[section]`. `classes` are
    those, as `"module:Class"`, whose objects an adapter would make if they were allowed.
    """

    kind = "bad-stored"

    def __init__(self, message: str, *, path: Path = (), classes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.classes = tuple(classes)


# ---- UsageError -----------------------------------------------------------------------------


class SchemaNewer(UsageError):
    """Newer code wrote this section in a way that this code does not understand (P10).

    It may be read, as far as it fits; an edit would destroy what is not understood. Deploy the
    newer version, or declare its migration by lenses, which old code can follow.
    """

    kind = "schema-newer"


class SchemaMismatch(UsageError):
    """The state is stamped with other schemas only, and this one's migrations would run on it.

    Either the class was renamed, and its migrations would run twice: keep the schema's name; or the
    key is another agent's. Where they would reach nothing that is there, nothing is raised: a state
    may be in several schemas, and is new to this one.
    """

    kind = "schema-mismatch"


class MigrationChanged(UsageError):
    """A migration is declared otherwise than the state has it, so a version means two things.

    Old code reads the state by what it has. Declare the migration as it was, and what is to be
    changed as one to a new version; or roll the state back to before it was migrated.
    """

    kind = "migration-changed"


class MigrationMissing(UsageError):
    """No declared migrations lead from the version of a state to that of its schema."""

    kind = "migration-missing"


class NotStorable(UsageError, TypeError):
    """A value that no state can hold; `path` says where it is."""

    kind = "not-storable"

    def __init__(self, message: str, *, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path


class PathNotFound(UsageError, LookupError):
    """There is nothing at this path."""

    kind = "path-not-found"


class StateNotFound(UsageError, LookupError):
    """No state has this key."""

    kind = "state-not-found"


class StateExists(UsageError):
    """A state with this key, or with this identity, is already there."""

    kind = "state-exists"


class CheckpointNotFound(UsageError, LookupError):
    """The state has no such checkpoint."""

    kind = "checkpoint-not-found"


class CheckpointPruned(CheckpointNotFound):
    """The checkpoint, or what is asked of it, was removed by `prune`; the receipt is kept."""

    kind = "checkpoint-pruned"


class BranchNotFound(UsageError, LookupError):
    """The state has no such branch."""

    kind = "branch-not-found"


class BranchExists(UsageError):
    """The state has a branch of this name already."""

    kind = "branch-exists"


class NotAncestor(UsageError):
    """One branch did not go on from where the other is: it has to be merged."""

    kind = "not-ancestor"


class NotAllowed(UsageError):
    """This handle of the store may not do that: it was made by `Store.scoped` for something else.

    Nothing was done. The message names what is missing.
    """

    kind = "not-allowed"


class InvalidKey(UsageError, ValueError):
    """Not a usable key for a state."""

    kind = "invalid-key"


class InvalidStoreURL(UsageError, ValueError):
    """Not the URL or path of a store."""

    kind = "invalid-url"


class SecretFound(UsageError):
    """What was to be saved holds what looks like a secret; `found` says where, and of what kind.

    Nothing was saved or lost. No message and no field has the value.
    """

    kind = "secret-found"

    def __init__(self, message: str, *, found: Sequence[FoundSecret] = ()) -> None:
        super().__init__(message)
        self.found = tuple(found)


class SectionNotLoaded(UsageError):
    """A section was touched that is not loaded, where none loads by being touched.

    Under asyncio nothing does: call `await session.load("…")` first.
    """

    kind = "section-not-loaded"


class SessionClosed(UsageError):
    """The session has ended; open a new one."""

    kind = "session-closed"


class StoreClosed(UsageError):
    """The store was closed."""

    kind = "store-closed"


class SaveInsideAtomic(UsageError):
    """`save` was called inside its own `atomic` block, where no save takes effect."""

    kind = "save-inside-atomic"


class Forked(UsageError):
    """A session was carried over `os.fork`; open one of its own in the child."""

    kind = "forked"


class Detached(UsageError):
    """An edit to a container that can no longer be saved; take it again from `session.state`."""

    kind = "detached"


class UntrackedEdit(UsageError):
    """A container was changed behind Perdure's back, by C code that bypasses its methods."""

    kind = "untracked-edit"


class ConcurrentEdit(UsageError):
    """One session's containers were edited from two threads at a time."""

    kind = "concurrent-edit"


class ReservedSection(UsageError):
    """Sections whose names start with "perdure." belong to the library."""

    kind = "reserved-section"


class LossyLens(UsageError):
    """A lens would lose something, and does not say so: give it `lossy=True` if that is meant."""

    kind = "lossy-lens"


class AlreadyAnswered(UsageError):
    """The question was answered otherwise before. Nothing was changed."""

    kind = "already-answered"


class EffectRefused(UsageError):
    """The session may not act on the world: it was opened with `effects="refuse"`."""

    kind = "effect-refused"


class WrongType(UsageError, TypeError):
    """A value that the schema does not allow at this place; `path` says where. Nothing changed."""

    kind = "wrong-type"

    def __init__(self, message: str, *, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path


class BrokenTurn(UsageError, ValueError):
    """A message cannot stand there: a tool call would stay unanswered, or no open one is answered.

    `path` says where it would have been, `calls` are the ids of the tool calls. Nothing changed.
    """

    kind = "broken-turn"

    def __init__(self, message: str, *, path: Path = (), calls: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.calls = tuple(calls)


class StepRepeated(UsageError):
    """One entry of a task reached two steps of the same name: give each a key of its own."""

    kind = "step-repeated"


class ParallelEdit(UsageError):
    """State was edited while several steps run, outside of `apply=` and of an atomic block."""

    kind = "parallel-edit"


class PlanCycle(UsageError):
    """Tasks of a plan that come after one another in a circle, `cycle`: none could ever begin."""

    kind = "plan-cycle"

    def __init__(self, message: str, *, cycle: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.cycle = tuple(cycle)
