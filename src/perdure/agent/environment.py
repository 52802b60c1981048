"""What changed around an agent since it was there last."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from perdure import limits
from perdure.agent.acts import Acts, Ask, Clock, Work
from perdure.agent.fingerprint import Asked, Fingerprint, is_same_file, take
from perdure.agent.records import ENVIRONMENT, edit
from perdure.core.abbreviate import count
from perdure.engine.requests import Random, Steps
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

SALT_BYTES = 32


class EnvironmentChanges(msgspec.Struct, frozen=True):
    """What is not as it was when the agent was there last; false if all is.

    Example:
        >>> found = session.environment(files=["src/**/*.py"], git=True)
        >>> if found:
        ...     print(found.summary())
        away 2 days, 3:04:11; changed: src/app.py; appeared: src/new.py; git: 1f3c9ab → 77e01d2
    """

    away: timedelta | None = None
    """Since the last checkpoint; None: nothing was known of the environment yet."""
    changed: tuple[str, ...] = ()
    """Files with another content, by their paths below the root."""
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    git: tuple[dict[str, Any] | None, dict[str, Any] | None] | None = None
    """The repository before and after: `commit`, `branch`, how many files are `changed`."""
    packages: dict[str, tuple[str | None, str | None]] = {}
    """By name, Python too: the version before and after; None: it was, or is, not there."""
    env: tuple[str, ...] = ()
    """Variables with another value, or set or unset since."""

    def __bool__(self) -> bool:
        files = self.changed or self.appeared or self.vanished
        return bool(files or self.git or self.packages or self.env)

    def summary(self) -> str:
        """A line about it."""
        parts = [f"away {self.away}"] if self.away is not None else []
        for what in ("changed", "appeared", "vanished"):
            parts += _listed(what, getattr(self, what))
        if self.git is not None:
            before, after = map(_commit, self.git)
            parts.append(
                f"git: {before} → {after}" if before != after else f"git: changes on {after}"
            )
        versions = [
            f"{name} {old or '-'} → {new or '-'}" for name, (old, new) in self.packages.items()
        ]
        return "; ".join([*parts, *_listed("packages", versions), *_listed("variables", self.env)])


def _listed(what: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    if not names:
        return []
    shown = ", ".join(names[: limits.environment_named_max])
    more = len(names) - limits.environment_named_max
    return [f"{what}: {shown}" + (f" and {count(more, 'other')}" if more > 0 else "")]


def _commit(status: dict[str, Any] | None) -> str:
    return str(status["commit"])[:7] if status is not None and status["commit"] else "none"


# ---- looking --------------------------------------------------------------------------------


def environment(session: SessionBase[Any], asked: Asked) -> Acts[EnvironmentChanges]:
    """Compare the environment with what the state knows of it, and note what it is now.

    Raises:
        UsageError: the root is no directory, or a pattern leads out of it.
    """
    if not os.path.isdir(asked.root):
        raise UsageError(f"{asked.root!r} is no directory: give the root of the files that count")
    record, found = yield from _looked(session, asked)
    resumed = session.resumed
    away = timedelta(seconds=resumed.age) if resumed is not None else None
    changes = compare(record, asked, found, away)
    now = yield Clock()
    with session._document.block():
        _note(record, asked, found)
        if changes:
            record["changes"] = {**_bounded(changes), "at": now}
    session._last_acts[ENVIRONMENT] = partial(_noted, session, asked)
    return changes


def _noted(session: SessionBase[Any], asked: Asked) -> Acts[None]:
    """Note what the environment is as a session ends: what the agent changed is no news to it."""
    record, found = yield from _looked(session, asked)
    with session._document.block():
        _note(record, asked, found)


def _looked(session: SessionBase[Any], asked: Asked) -> Acts[tuple[Any, Fingerprint]]:
    record = yield from edit(session, ENVIRONMENT)
    if "salt" not in record:
        record["salt"] = yield Ask(_drawn())
    return record, (yield Work(take, (asked, dict(record.get("files", {})), record["salt"])))


def _drawn() -> Steps[bytes]:
    salt: bytes = yield Random(SALT_BYTES)
    return salt


def compare(
    record: Mapping[str, Any], asked: Asked, found: Fingerprint, away: timedelta | None
) -> EnvironmentChanges:
    """What differs between what is recorded and what was found.

    What was not looked at then and is now, or the other way round, tells nothing.
    """
    if "globs" not in record:
        return EnvironmentChanges()
    before, after = record["files"], found.files
    is_same_question = list(record["globs"]) == list(asked.files)
    git = record.get("git")
    return EnvironmentChanges(
        away=away,
        changed=tuple(
            path for path in after if path in before and not is_same_file(before[path], after[path])
        ),
        appeared=tuple(path for path in after if path not in before) if is_same_question else (),
        vanished=tuple(path for path in before if path not in after) if is_same_question else (),
        git=(git, found.git) if asked.git and "git" in record and git != found.git else None,
        packages=_versions(record.get("packages"), found.packages),
        env=tuple(
            name
            for name, value in found.env.items()
            if name in record["env"] and record["env"][name] != value
        ),
    )


def _versions(
    before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> dict[str, tuple[str | None, str | None]]:
    if before is None or after is None:
        return {}
    names = sorted({*before, *after})
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


# ---- noting ---------------------------------------------------------------------------------


def _note(record: Any, asked: Asked, found: Fingerprint) -> None:
    """Write what was found into the record: only what is not there already."""
    _put(record, "globs", list(asked.files))
    _put_all(record, "files", found.files)
    if asked.git:
        _put(record, "git", found.git)
    if found.packages is not None:
        _put_all(record, "packages", found.packages)
    _put_all(record, "env", found.env)


def _put(record: Any, name: str, value: Any) -> None:
    if name not in record or record[name] != value:
        record[name] = value


def _put_all(record: Any, name: str, values: Mapping[str, Any]) -> None:
    kept = record.setdefault(name, {})
    for key in [key for key in kept if key not in values]:
        del kept[key]
    for key, value in values.items():
        if key not in kept or kept[key] != value:
            kept[key] = value


def _bounded(changes: EnvironmentChanges) -> dict[str, Any]:
    """The changes as the record has them, with no more names than a briefing could tell."""
    most = limits.environment_changes_kept_max
    told: dict[str, Any] = {"packages": dict(list(changes.packages.items())[:most])}
    told["git"] = list(changes.git) if changes.git is not None else None
    told["away"] = changes.away.total_seconds() if changes.away is not None else None
    for name in ("changed", "appeared", "vanished", "env"):
        names = getattr(changes, name)
        told[name] = list(names[:most])
        if len(names) > most:
            told[f"{name}_more"] = len(names) - most
    return told
