"""What a session starts from, or a view of a state of the past: what is loaded at once, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import marks
from perdure.engine.load import Loaded, LoadedAt, Wanted, everything, load, load_at
from perdure.engine.read import Site, read_head
from perdure.engine.requests import Now, Random, Steps
from perdure.engine.window import Elsewhere, opened
from perdure.errors import UsageError
from perdure.parts import check_windows, require_windows
from perdure.types import Resumed


class Opened:
    """What was read of a state, before it becomes a session."""

    __slots__ = (
        "branch",
        "content",
        "elsewhere",
        "id",
        "loaded",
        "now_us",
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


class Loading(msgspec.Struct, frozen=True):
    """What to load when a session is opened, or a state of the past looked at."""

    must_exist: bool
    sections: Iterable[str] | None
    """At once; None: what there is to be loaded by default."""
    windows: Mapping[str, int]
    lazy: bool
    """Whether sections load when they are touched."""

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
    if is_new and (loading.must_exist or branch != MAIN):
        yield from read_head(site)  # raises
    content: dict[str, Any] = {}
    elsewhere: Elsewhere = {}
    if loaded is not None:
        content, elsewhere = yield from opened(site, loaded, branch, loading.windows)
    require_windows(loading.windows, content)
    resumed, told = yield from marks.resumed_from(site, loaded, branch)
    id_ = id_ or (yield Random(16))
    now = yield Now()
    return Opened(site, branch, loaded, content, elsewhere, resumed, tuple(told), id_, now)


def look_at(
    site: Site, *, ref: Ref, loading: Loading
) -> Steps[tuple[Site, LoadedAt, dict[str, Any]]]:
    """What a view of a state at a checkpoint is made of."""
    loaded = yield from load_at(site, ref, wanted=loading.wanted())
    sections, _ = yield from opened(site, loaded, loaded.branch, loading.windows)
    require_windows(loading.windows, sections)
    return site, loaded, sections
