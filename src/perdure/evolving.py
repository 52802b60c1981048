"""Opening a state through a schema: the version it is in, and how newer and older code meet.

Newer code finds an older state: the migrations run here, on what was read, and go as a checkpoint
of their own before the first save (`Evolution`). Older code finds a newer state: the session
works on a view of it (`perdure.state.evolved`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from perdure import limits
from perdure.core.changes import (
    Change,
    apply,
    moves_of,
    pack_changes,
    reordered,
    sections_of,
    unpack_changes,
)
from perdure.core.diff import to_changes
from perdure.core.lens import Lens
from perdure.core.lens_reach import around, reach
from perdure.core.lens_run import get
from perdure.core.record import LABEL, METADATA
from perdure.core.values import take
from perdure.core.versions import SECTION
from perdure.engine.bodies import Body, too_much
from perdure.engine.load import Loaded, read_section
from perdure.engine.read import Site
from perdure.engine.refresh import News
from perdure.engine.requests import Steps
from perdure.engine.unread import Unread
from perdure.errors import SchemaChanged, SchemaMismatch
from perdure.schemas.declare import UNSTAMPED, Declared, Migration, declared_of
from perdure.schemas.fitting import require_fit
from perdure.schemas.run import made_by_functions, reached, run
from perdure.schemas.stamp import (
    Run,
    Stamp,
    Step,
    is_one_way,
    require_as_declared,
    stamped,
    stamps_in,
)
from perdure.state.sections import RESERVED

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore
    from perdure.state.document import Document
    from perdure.types import Durability

Seen: TypeAlias = Callable[[Migration, dict[str, Any]], None]

MIGRATED = "perdure.migrated"
"""What the metadata of a migration's checkpoint says, below this key: schema, from, to, run."""


class Plan(msgspec.Struct, frozen=True):
    """How a state and a schema meet."""

    cls: type
    """The schema."""
    declared: Declared
    section: dict[str, Any] | None
    """The stamps that the state has."""
    version: int
    """The version that the state is in."""
    migrations: tuple[Migration, ...] = ()
    """Of newer code: to be run."""
    back: tuple[Step, ...] | None = None
    """Of older code: what led from its version to the state's, as far as that is known."""
    run: Run | None = None
    """The migration of many states of which this is a part."""

    @property
    def is_older_code(self) -> bool:
        """Whether the state was written by code that is newer than the schema."""
        return self.version > self.declared.version

    @property
    def stamp(self) -> dict[str, Any] | None:
        """The stamps as they are to be; None: as they are."""
        if self.is_older_code:
            return None
        section = stamped(self.section, self.declared, self.migrations)
        return None if section == self.section else section

    @property
    def lenses(self) -> tuple[Lens, ...]:
        """What led from the version of older code to the state's, as far as that is lenses."""
        return tuple(lens for step in self.back or () for lens in step.lenses or ())

    def reached(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the sections of a state that are in another layout, and thus read whole."""
        if self.is_older_code:
            found = reach(self.lenses)
            return (found.older | found.newer).intersection(names)
        return reached(self.migrations, names) if self.migrations else frozenset()

    def migrated(
        self, content: dict[str, Any], seen: Seen | None = None
    ) -> tuple[dict[str, Any], list[Change]]:
        """The sections after the migrations, in order, and what these change.

        Args:
            content: the sections: those that are reached as plain values, which are not changed;
                any others as they are.
            seen: called before each migration, with the sections that are reached.

        Raises:
            MigrationFailed: a migration does not fit what is there.
        """
        if not self.migrations:
            return content, []
        names = self.reached(content)
        before = {name: content[name] for name in content if name in names}
        after = run(self.migrations, take(before), seen)
        after[SECTION] = stamped(self.section, self.declared, self.migrations, self.run)
        if SECTION in content:
            before[SECTION] = content[SECTION]
        changes = to_changes(before, after)
        order = reordered(content, moves_of(changes))
        return {name: after.get(name, content.get(name)) for name in order}, changes

    def require_fit(self, migrated: dict[str, Any]) -> None:
        """See to it that what functions made of a state is what the schema says.

        What lenses make is as good as what was there, and that is told when it is read.

        Raises:
            MigrationFailed: it is not; `path` says where.
        """
        if any(each.lenses is None for each in self.migrations):
            names = [name for name in migrated if not name.startswith(RESERVED)]
            require_fit(self.cls, migrated, sorted(made_by_functions(self.migrations, names)))

    def shown(self, content: dict[str, Any]) -> dict[str, Any]:
        """The sections as the schema has them, to be read; takes what `migrated` does.

        Raises:
            MigrationFailed: what is there does not fit what led to it, or leads on from it.
        """
        if not self.is_older_code:
            return self.migrated(content)[0]
        names = self.reached(content)
        seen = get({name: take(content[name]) for name in content if name in names}, self.lenses)
        return {name: value for name, value in content.items() if name not in names} | seen


def plan(cls: type, section: Any, names: Iterable[str]) -> Plan:
    """How a state meets a schema.

    Args:
        cls: the schema.
        section: what the state's stamps are; None: it has none.
        names: of its sections.

    Raises:
        SchemaMismatch: it has stamps, of other schemas, and this one would have to migrate it.
        MigrationMissing: nothing leads from its version to the schema's.
        MigrationChanged: a migration is declared otherwise than the state has it.
        Malformed: the stamps are none.
    """
    declared, stamps = declared_of(cls), stamps_in(section)
    stamp = stamps.get(declared.name)
    if stamp is not None:
        require_as_declared(stamp, declared)
    if stamp is not None and stamp.version > declared.version:
        back = stamp.back_to(declared.version)
        return Plan(cls, declared, section, stamp.version, back=back)
    version = stamp.version if stamp is not None else _unstamped(declared, stamps, names)
    migrations = declared.path(version)
    if stamp is None and migrations and stamps:
        others = ", ".join(f"{name!r} (version {each.version})" for name, each in stamps.items())
        raise SchemaMismatch(
            f"the state was saved under {others}, not under {declared.name!r}, whose migrations "
            "would run on it. If the class was renamed, keep the schema's name: "
            f"@perdure.schema({next(iter(stamps))!r}, version={declared.version})"
        )
    return Plan(cls, declared, section, version, migrations)


def _unstamped(declared: Declared, stamps: Iterable[str], names: Iterable[str]) -> int:
    """The version of a state without a stamp of this schema."""
    names = [name for name in names if not name.startswith(RESERVED)]
    begins = any(older == UNSTAMPED for older, _ in declared.migrations)
    version = UNSTAMPED if begins else min(1, declared.version)
    if not names or (stamps and not reached(declared.path(version), names)):
        return declared.version  # it is new, or all that is there is of others
    return version


class Evolution(msgspec.Struct, eq=False):
    """What a typed session knows of the version of its state, and has to write of it."""

    plan: Plan
    is_stamped: bool = False
    """Whether what is live is known to have the stamp of this version. What others did may bring
    it without, or with stamps of other schemas: then it is looked at again."""
    migration: Body | None = None
    """What migrations changed, to be saved before anything else."""

    @property
    def is_pending(self) -> bool:
        """Whether what is live is migrated and what is stored is not."""
        return self.migration is not None and self.migration.saved is None

    def typed(self, document: Document) -> Any:
        """A session's state, as its schema has it; what does not fit is refused from now on."""
        from perdure.state.typed import install, typed_state

        install(self.plan.cls, document)
        return typed_state(self.plan.cls, document.state)

    def waiting(self, core: SessionCore) -> list[Change]:
        """What the next save would write before anything that was captured."""
        if self.migration is None or core.queue.has(self.migration):
            return []
        return unpack_changes(self.migration.changes)

    def before_save(
        self,
        core: SessionCore,
        document: Document,
        durability: Durability,
        *,
        ending: bool = False,
    ) -> None:
        """See to it that the version is written with what is about to be captured."""
        document.push(ending=ending)
        if self.migration is not None and not core.queue.has(self.migration):
            self.migration.durability = durability
            core.queue.put(self.migration)
        if self._is_due and (document.has_edits() or core.is_new):
            section = document.read_reserved(SECTION)
            stamp = stamped(section, self.plan.declared)
            if stamp != section:
                document.write_reserved(SECTION, stamp)
            self.is_stamped = True

    @property
    def _is_due(self) -> bool:
        """Whether the next save that has something else to write may have to stamp the state."""
        return not self.is_stamped and not self.plan.is_older_code

    def check(self, core: SessionCore, news: News) -> None:
        """Refuse to take in what others saved, if that is in another version.

        Raises:
            SchemaChanged: it is, or this session's own migration is not saved yet.
        """
        if self.is_pending and (news.records or news.moved_to or core.touched()):
            raise SchemaChanged(
                f"{core.site.key!r}: this session has migrated what it read ({self._label}) and "
                "not saved that yet: it can neither take in what others saved while this session "
                "was migrating the state, nor give up its edits. Nothing of it was saved; open the "
                "state again"
            )
        now = self._stamp_after(core, news)
        if now is not None and (now.version != self._held or self._is_by_another_way(now)):
            by = " by another way" if now.version == self._held else ""
            raise SchemaChanged(
                f"{core.site.key!r}: the state was migrated meanwhile, or rolled back, from "
                f"version {self._held} of {self.plan.declared.name} to {now.version}{by}: what "
                "this session holds is of the former. `session.changes()` tells what it has not "
                "saved; open the state again"
            )
        self.is_stamped = False

    def _is_by_another_way(self, now: Stamp) -> bool:
        """Whether what old code sees would be seen through other lenses than this session has."""
        back = self.plan.back
        return back is not None and not is_one_way(now.back_to(self.plan.declared.version), back)

    @property
    def _label(self) -> str:
        return label_of(self.plan)

    @property
    def _held(self) -> int:
        """The version of what is live, once a migration of this session is saved."""
        return self.plan.version if self.plan.is_older_code else self.plan.declared.version

    def _stamp_after(self, core: SessionCore, news: News) -> Stamp | None:
        """The stamp that the news leave the state with; None: they do not say."""
        declared = self.plan.declared
        if news.instead is not None and news.instead.is_whole:
            stamps = stamps_in(news.instead.sections.get(SECTION))
            unstamped = Stamp(_unstamped(declared, stamps, news.instead.sections))
            return stamps.get(declared.name, unstamped)
        changes = [each for each in news.changes if each.path[0] == SECTION]
        if not changes:
            return None
        held: dict[str, Any] = {SECTION: core.document.read_reserved(SECTION) or {}}
        apply(held, changes)
        return stamps_in(held.get(SECTION)).get(declared.name)


def evolved(
    found: Plan,
    core: SessionCore,
    stored: Document,
    changes: list[Change],
    *,
    lazy: bool,
    ephemeral: frozenset[str] = frozenset(),
) -> tuple[Document, Evolution]:
    """What a session's user edits, and what the session knows of its version.

    Args:
        found: how the state and the schema meet.
        core: the session's durable side.
        stored: the live tree of what is stored, migrated if that is to be.
        changes: what migrations changed in it.
        lazy: whether sections load when they are touched.
        ephemeral: sections that are never written.
    """
    document, migration = stored, None
    if found.is_older_code:
        from perdure.locking import locks_of
        from perdure.state.evolved import EvolvedDocument

        locks = locks_of(found, core.site.key)
        document = EvolvedDocument(stored, found.lenses, locks, lazy=lazy, ephemeral=ephemeral)
    if found.migrations:
        migration = body_of(found, changes)
    evolution = Evolution(found, migration is not None or found.stamp is None, migration)
    core.check = evolution.check
    return document, evolution


def label_of(plan: Plan) -> str:
    """The label of the checkpoint that a migration makes."""
    return f"migrate {plan.declared.name} {plan.version} → {plan.declared.version}"


def section_of(loaded: Loaded | None, site: Site, branch: str) -> Steps[Any]:
    """The stamps of a state that was loaded."""
    if loaded is None:
        return None
    value = loaded.sections.get(SECTION)
    if type(value) is Unread:
        value = yield from read_section(site, loaded.head, branch, SECTION, {SECTION: value})
        loaded.sections[SECTION] = value
    return value


def planned(
    cls: type,
    loaded: Loaded | None,
    site: Site,
    branch: str,
    *,
    whole: bool,
    asked: Iterable[str] = (),
) -> Steps[Plan]:
    """How a state that was loaded meets a schema; what migrations reach is read.

    Args:
        cls: the schema.
        loaded: the state; None: there is none.
        site: where it is.
        branch: that it was loaded from.
        whole: read what older code sees in another layout, too.
        asked: sections, as the schema calls them, whose values are wanted in any case.

    Raises as `plan`.
    """
    section = yield from section_of(loaded, site, branch)
    sections = loaded.sections if loaded is not None else {}
    found = plan(cls, section, sections)
    if loaded is not None:
        names: Iterable[str] = found.reached(sections)
        if found.is_older_code and not whole:
            from perdure.state.evolved import eager

            names = eager(found.lenses, sections)
            names |= {each for name in asked for each in around(name, found.lenses)[0]}
        yield from read_whole(site, loaded, branch, names)
    return found


def read_whole(site: Site, loaded: Loaded, branch: str, names: Iterable[str]) -> Steps[None]:
    """Read those of some sections that were not."""
    for name in names:
        kept = loaded.sections.get(name)
        if type(kept) is Unread:
            reading = read_section(site, loaded.head, branch, name, {name: kept})
            loaded.sections[name] = yield from reading


def body_of(found: Plan, changes: list[Change], **told: Any) -> Body:
    """A migration as a checkpoint of its own."""
    packed = pack_changes(changes)
    if len(packed) > limits.save_bytes_max:
        raise too_much(len(packed), changes)
    said = {"schema": found.declared.name, "from": found.version, "to": found.declared.version}
    extra = {LABEL: label_of(found), METADATA: {MIGRATED: {**said, **told}}}
    return Body(packed, frozenset(sections_of(changes)), moves_of(changes), extra)
