"""What looking after a store gives: sizes, damage, maintenance, pruning, upgrades, keys."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from perdure.core.abbreviate import count
from perdure.types import LeaseInfo


class Stats(msgspec.Struct, frozen=True):
    """What a state costs."""

    key: str
    checkpoints: int
    """How many `main` has; those that were pruned do not count."""
    raw_bytes: int
    """What its saves said, before compression (bytes)."""
    stored_bytes: int
    """What is stored for the state, compressed, with checksums and snapshots (bytes)."""
    sections: dict[str, int]
    """Packed size of each section as it is now (bytes)."""
    stored: dict[str, int] = {}
    """`stored_bytes` by kind: "records" by themselves, "packs" of them, "pages" of snapshots."""
    tail: int = 0
    """Records after the newest snapshot: what opening replays."""
    snapshots: tuple[int, ...] = ()
    """Numbers of the checkpoints that are kept as snapshots, newest first."""
    pruned: int = 0
    """How many checkpoints `main` had that were pruned."""


class Rekeyed(msgspec.Struct, frozen=True):
    """What came of encrypting a store, or of giving it new keys."""

    root: str
    """Id of the root key that it is under."""
    states: int
    """States that were gone over, former lives of their names included."""
    rows: int
    """Rows and pages that were sealed anew."""
    problems: tuple[str, ...] = ()
    """What could not be read, and stayed as it was."""


class KeyInfo(msgspec.Struct, frozen=True):
    """How an encrypted store stands with its keys."""

    root: str
    """Id of its root key."""
    stage: Literal["clear", "sealed"]
    """`clear`: it is being encrypted, and what is not is still taken; `sealed`: it is refused."""
    hides_names: bool
    is_apart: bool
    """Whether its data keys are in another store."""
    rewrap: Literal["", "keys", "deep"]
    """Which `rewrap` was begun and has not ended."""
    store_keys: int
    """Generations of the store key that are kept."""
    states: int
    """States that have data keys, former lives of their names included."""
    data_keys: int
    """Data keys in all: more than there are states while a `rewrap` is under way."""


class Unreferenced(msgspec.Struct, frozen=True):
    """Something stored that no state refers to: it takes space, and does no harm.

    Example:
        >>> [each.what for each in store.unreferenced()]
        ['staged']
    """

    what: Literal["pages", "records", "staged", "headless"]
    """`"pages"` that no snapshot of the state reaches, or `"records"` on a line that no branch of
    it has; `"staged"` records or pages of a copy or an import that is under way or was abandoned;
    `"headless"` ones of a life that no head names, whose head may have been removed."""
    count: int
    """Pages, or rows of records."""
    bytes: int
    """What they take, as stored (bytes)."""
    incarnation: str
    """Id of the life that they are of (32 hex digits)."""


Remedy: TypeAlias = Literal["repair", "around", "last_good", "let_go", "recover", "backup"]
"""What helps against damage: `verify(repair=True)`, which loses nothing; nothing, as what is newer
is read without it (`"around"`); `open(on_damage="last_good")`; a pruning of what branches left, as
none leads there any more (`"let_go"`); `perdure recover`; or a backup."""


class Damage(msgspec.Struct, frozen=True):
    """Something of a state that is missing, or not as it was saved.

    Example:
        >>> [(each.what, each.first, each.last, each.remedy) for each in verified.damage]
        [('records', 41, 42, 'last_good')]
    """

    what: Literal["head", "branches", "records", "snapshot", "base", "claims", "replay"]
    """`"branches"`: what tells of branches beside the head, as their journal; `"base"`: the
    snapshot that stands in for what was pruned; `"replay"`: all is as it was written, and what was
    written is wrong."""
    problem: str
    remedy: Remedy
    branch: str = ""
    first: int = 0
    """Number of the first record or snapshot that it is about."""
    last: int = 0
    """Number of the last."""
    where: Literal["tail", "middle"] | None = None
    """Of records: at the end of the branch, as a write that was torn leaves it, or before others
    that are whole."""
    lost: tuple[int, int] | None = None
    """Numbers of the first and the last checkpoint that cannot be read for it; None: all can."""
    pages: int = 0
    """How many pages cannot be used."""

    def summary(self) -> str:
        """One line."""
        where = {"tail": ", at the end", "middle": ", in the middle"}.get(self.where or "", "")
        numbers = f" {self.first:,}" if self.first else ""
        numbers += f" to {self.last:,}" if self.last != self.first else ""
        on = f" of {self.branch}" if self.branch else ""
        what = "record" if self.what == "records" and self.first == self.last else self.what
        told = f"{what}{numbers}{on}{where}: {self.problem}"
        if self.lost is not None:
            first, last = self.lost
            which = f"s {first:,} to {last:,}" if first != last else f" {first:,}"
            told += f"; checkpoint{which} cannot be read"
        return told


class Verified(msgspec.Struct, frozen=True):
    """What `Store.verify` found of one state."""

    key: str
    checkpoints: int
    """How many `main` has; those that were pruned do not count."""
    ok: bool
    problem: str | None = None
    unreferenced: tuple[Unreferenced, ...] = ()
    """What is stored of it that nothing refers to; where `ok`."""
    damage: tuple[Damage, ...] = ()
    """Where it is not `ok`: everything that is wrong, and what helps."""
    mended: int = 0
    """How many pages `repair` made anew."""
    backup: str | None = None
    """The copy of the store that was made before that."""


class UpgradeStep(msgspec.Struct, frozen=True):
    """One step of an upgrade: what is different after it."""

    what: str
    before: int
    """The store's format before it."""
    after: int
    """The store's format after it; several steps may be needed within one."""


class Upgraded(msgspec.Struct, frozen=True):
    """What `Store.upgrade` did to a store, or would do."""

    before: int
    """The store's format before."""
    after: int
    """The store's format after; the newest that this version knows."""
    steps: tuple[UpgradeStep, ...]
    """What was done, in order; none: the store was as the newest version makes one."""
    backup: str | None
    """The file that has the store as it was; None: none was asked for, or nothing was done."""
    verified: tuple[Verified, ...]
    """What `Store.verify` found of every state afterwards."""
    dry_run: bool

    @property
    def ok(self) -> bool:
        """Whether every state that was verified is as it was saved."""
        return all(each.ok for each in self.verified)


Work: TypeAlias = Literal["mend", "prune", "park", "snapshot", "pack", "collect"]
"""What a step of maintenance does; to mend is to make damaged pages of snapshots anew, to prune is
to end what a pruning that was interrupted began, to park is to take branches that were not saved to
lately out of the head, where there are many."""


class MaintenanceStep(msgspec.Struct, frozen=True):
    """One step of the maintenance of a state."""

    work: Work
    first: int = 0
    """The oldest checkpoint of those that become a pack, or come into a snapshot."""
    last: int = 0
    """The newest of them."""
    rows: int = 0
    """Stored rows that hold them; of a very long tail, those that were counted."""
    bytes: int = 0
    """What these rows take in the store (bytes)."""
    branch: str = "main"
    """Whose history this is about."""


class Maintained(msgspec.Struct, frozen=True):
    """What `Store.maintain` did, or would do first, for one state."""

    key: str
    steps: tuple[Work, ...]
    details: tuple[MaintenanceStep, ...] = ()
    """The same steps, each with what it was about."""
    problem: str | None = None
    """What could not be read, and was left as it is."""


class PrunedBranch(msgspec.Struct, frozen=True):
    """What pruning did to the checkpoints of one branch, or would do."""

    branch: str
    kept: int
    """Checkpoints that stay."""
    removed: int
    """Checkpoints that go; those that branches share are counted with each."""
    runs: tuple[tuple[int, int], ...]
    """The numbers of those that stay: runs of neighbours, first and last, oldest first."""


class Pruned(msgspec.Struct, frozen=True):
    """What `Store.prune` did to one state, or would do.

    Example:
        >>> [each.removed for each in store.prune(Retention(keep_last=100), dry_run=True)]
        [9900]
    """

    key: str
    branches: tuple[PrunedBranch, ...] = ()
    removed: int = 0
    """Checkpoints that went, each counted once."""
    left: int = 0
    """Those among them that were on no branch any more: branches had left them."""
    bytes: int = 0
    """What the records that went took in the store, about (bytes)."""
    final: tuple[int, ...] = ()
    """Numbers of movements of branches that cannot be taken back any more."""
    receipt: int | None = None
    """Number of the movement that is the receipt; None: there was nothing to remove."""
    unknown_labels: tuple[str, ...] = ()
    """Labels in `keep_labels` that no checkpoint of the state had: perhaps they are misspelt."""
    dry_run: bool = False
    problem: str | None = None
    """Why nothing of it was pruned, after the error's kind."""


class ErasedLife(msgspec.Struct, frozen=True):
    """What is kept of one life of a state that was erased, or would be: the receipt.

    Example:
        >>> [(each.at, each.checkpoints) for each in store.erasures("support/alice")]
        [(datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.timezone.utc), 41)]
    """

    incarnation: str
    """Id of the life (32 hex digits)."""
    at: datetime
    """When it was erased."""
    life: int
    """Which life of its key it was, from 1 on."""
    created: datetime
    """When it began."""
    checkpoints: int
    """Records that were stored, of every branch and of its journal."""
    rows: int
    """Stored rows that held them."""
    pages: int
    """Pages of its snapshots."""
    bytes: int
    """What these rows and pages took (bytes)."""
    hash: str
    """Chain hash of the newest checkpoint of `main`."""
    reason: str | None = None
    key: str | None = None
    """The state's key, where it was to be kept (`keep_name=True`), or was given."""
    problem: str | None = None
    """Why this receipt cannot be read, after the error's kind; the life is gone all the same."""


class Erasure(msgspec.Struct, frozen=True):
    """What `Store.erase` did, or would do.

    Example:
        >>> found = store.erase("support/alice", dry_run=True)
        >>> found.bytes, found.copies
        (184320, ('support/alice-copy',))
    """

    key: str
    lives: tuple[ErasedLife, ...]
    """What went, the oldest life first."""
    branches: int = 0
    """Branches of these lives."""
    sessions: int = 0
    """Sessions at work on it, as far as is known: they get `Erased`."""
    leases: tuple[LeaseInfo, ...] = ()
    """Living sessions that held a branch exclusively."""
    unknown: tuple[str, ...] = ()
    """Keys of effects whose outcome nobody knows: the note of that goes too."""
    children: tuple[str, ...] = ()
    """Keys of states that this one names as its children; they stay."""
    copies: tuple[str, ...] = ()
    """Of a dry run: keys of states that began as the same one. They stay, with what they have."""
    backups: tuple[str, ...] = ()
    """Files beside the store that upgrades and repairs made of it. They stay as they are."""
    is_wiped: bool = False
    """Whether the store's files were written anew, so that nothing is left in them."""
    was_erased: bool = False
    """Whether the state was gone before, and only what was left to do was done."""
    dry_run: bool = False

    @property
    def checkpoints(self) -> int:
        """Checkpoints of all lives."""
        return sum(each.checkpoints for each in self.lives)

    @property
    def bytes(self) -> int:
        """What all lives took (bytes)."""
        return sum(each.bytes for each in self.lives)


class Redaction(msgspec.Struct, frozen=True):
    """What `Store.redact` took out of a state's history, or would take.

    Example:
        >>> store.redact("support/alice", match="alice@example.com", dry_run=True).summary()
        'would redact 31 values in 12 checkpoints'
    """

    key: str
    path: str | None = None
    """Where, if it was not everywhere."""
    checkpoints: int = 0
    """Checkpoints that hold something else by now, on any branch, or off all."""
    values: int = 0
    """Values and texts that were changed in them, and in what is told in `elsewhere`."""
    sections: dict[str, int] = {}
    """In how many checkpoints a change of each section was one of them."""
    elsewhere: dict[str, int] = {}
    """In how many of them it stood outside: "labels", "metadata", "masked" (paths), "summaries",
    "sessions" (errors that ended them), "effects" (what they gave), "movements"."""
    receipt: int | None = None
    """Number of the movement that is the receipt; None: there was nothing to redact."""
    is_there: bool = True
    """Whether anything ever stood at `path`; if not, it may be misspelt."""
    dry_run: bool = False
    warnings: tuple[str, ...] = ()
    """What has it and keeps it: names of branches, effect keys, the state's key; and the files,
    where others kept them from being written anew."""

    def summary(self) -> str:
        """One line."""
        done = "would redact" if self.dry_run else "redacted"
        return f"{done} {count(self.values, 'value')} in {count(self.checkpoints, 'checkpoint')}"


class Exported(msgspec.Struct, frozen=True):
    """What `Store.export` wrote."""

    checkpoints: int
    bytes: int
    hash: str
    """Chain hash of the newest checkpoint in the file."""
