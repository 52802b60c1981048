"""What a session starts from, or a view of a state of the past: what is loaded at once, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from perdure.core.changes import Change
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import marks
from perdure.engine.load import Loaded, LoadedAt, Wanted, everything, load, load_at
from perdure.engine.read import Site, read_head
from perdure.engine.requests import Now, Random, Steps
from perdure.engine.window import Elsewhere, opened
from perdure.errors import UsageError
from perdure.naming import check_new
from perdure.parts import check_windows, require_windows
from perdure.types import Resumed

if TYPE_CHECKING:
    from perdure.evolving import Plan


class Opened:
    """What was read of a state, before it becomes a session."""

    __slots__ = (
        "branch",
        "changes",
        "content",
        "elsewhere",
        "ephemeral",
        "id",
        "loaded",
        "now_us",
        "plan",
        "resumed",
        "site",
        "told",
    )

    def __init__(
        self,
        site: Site,
        branch: str,
        loaded: Loaded | None,
        content: dict[str, Any],
        elsewhere: Elsewhere,
        resumed: Resumed | None,
        told: tuple[Any, ...],
        id: bytes,
        now_us: int,
        plan: Plan | None,
        changes: list[Change],
        ephemeral: frozenset[str],
    ) -> None:
        self.site = site
        self.branch = branch
        self.loaded = loaded
        self.content = content
        self.elsewhere = elsewhere
        self.resumed = resumed
        self.told = told
        self.id = id
        self.now_us = now_us
        self.plan = plan
        """How the state and the session's schema meet; None: it has none."""
        self.changes = changes
        """What migrations changed in the content."""
        self.ephemeral = ephemeral
        """Sections that are never written."""


class Loading(msgspec.Struct, frozen=True):
    """What to load when a session is opened, or a state of the past looked at."""

    must_exist: bool
    sections: Iterable[str] | None
    """At once; None: what there is to be loaded by default."""
    windows: Mapping[str, int]
    lazy: bool
    """Whether sections load when they are touched."""
    schema: type | None = None
    """What the state is opened as."""
    ephemeral: frozenset[str] = frozenset()
    """Sections that are never written, besides those that the schema says."""

    def unwritten(self) -> frozenset[str]:
        """All sections that are never written."""
        if self.schema is None:
            return self.ephemeral
        from perdure.schemas.ephemeral import ephemeral_of

        return self.ephemeral | ephemeral_of(self.schema)

    def wanted(self) -> Wanted:
        """Which sections to load at once."""
        check_windows(self.windows)
        if isinstance(self.sections, str):
            raise UsageError(f"sections is a list of names: [{self.sections!r}]")
        if self.sections is not None:
            names = frozenset(self.sections) - self.windows.keys()
            if not all(isinstance(name, str) for name in names):
                raise UsageError(f"sections is a list of names, not {self.sections!r}")
            return lambda name: name in names
        if not self.lazy and not self.windows:
            return everything
        return lambda name: not self.lazy and name not in self.windows


def open_session(site: Site, *, loading: Loading, branch: str, id_: bytes | None) -> Steps[Opened]:
    """What a session on a state starts from."""
    loaded = yield from load(site, branch, loading.wanted())
    is_new = loaded is None or loaded.head.deleted_us is not None
    if loaded is None:
        check_new(site.key)
    if is_new and (loading.must_exist or branch != MAIN):
        yield from read_head(site)  # raises
    plan = yield from _plan(site, loaded, branch, loading)
    content: dict[str, Any] = {}
    elsewhere: Elsewhere = {}
    if loaded is not None:
        windows = yield from _windows(site, loaded, branch, loading, plan)
        content, elsewhere = yield from opened(site, loaded, branch, windows)
        require_windows(windows, content)
    changes: list[Change] = []
    if plan is not None:
        content, changes = plan.migrated(content)
        plan.require_fit(content)
    resumed, told = yield from marks.resumed_from(site, loaded, branch)
    if resumed is not None and loaded is not None and loaded.head.journal is not None:
        from perdure.engine.last_good import loss_before  # few branches were ever moved

        resumed = replace(resumed, loss=(yield from loss_before(site, loaded.head, branch)))
    id_ = id_ or (yield Random(16))
    now = yield Now()
    unwritten = loading.unwritten()
    content = {name: value for name, value in content.items() if name not in unwritten}
    told_of = site, branch, loaded, content, elsewhere, resumed, tuple(told), id_, now, plan
    return Opened(*told_of, changes, unwritten)


def _plan(
    site: Site, loaded: Loaded | None, branch: str, loading: Loading, *, whole: bool = False
) -> Steps[Plan | None]:
    """How what was loaded and the schema meet; None: there is no schema."""
    if loading.schema is None:
        return None
    from perdure.evolving import planned

    asked = loading.sections or ()
    return (yield from planned(loading.schema, loaded, site, branch, whole=whole, asked=asked))


def _windows(
    site: Site, loaded: Loaded, branch: str, loading: Loading, plan: Plan | None
) -> Steps[dict[str, int]]:
    """The windows to be shown: what is in another layout is read and shown whole."""
    if plan is None or not (plan.migrations or plan.is_older_code):
        return dict(loading.windows)
    reached = plan.reached(loaded.sections)
    whole = loading.windows.keys() if plan.is_older_code else loading.windows.keys() & reached
    from perdure.evolving import read_whole

    yield from read_whole(site, loaded, branch, whole)
    return {name: count for name, count in loading.windows.items() if name not in whole}


def look_at(
    site: Site, *, ref: Ref, loading: Loading
) -> Steps[tuple[Site, LoadedAt, dict[str, Any]]]:
    """What a view of a state at a checkpoint is made of."""
    loaded = yield from load_at(site, ref, wanted=loading.wanted())
    plan = yield from _plan(site, loaded, loaded.branch, loading, whole=True)
    windows = yield from _windows(site, loaded, loaded.branch, loading, plan)
    sections, _ = yield from opened(site, loaded, loaded.branch, windows)
    require_windows(windows, sections)
    return site, loaded, sections if plan is None else plan.shown(sections)
