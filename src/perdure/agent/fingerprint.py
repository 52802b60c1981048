"""What surrounds an agent, as far as it matters to it, in a form that can be compared later."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure import limits
from perdure.agent.files import find

HASH_BYTES = 16
UNHASHED = "-"
"""In the place of a hash: the file was too large to be read through, or could not be read."""

RACY_NS = 2_000_000_000
"""A file that was written so shortly before it was looked at may have been written again since
without another time: some file systems count in two seconds (nanoseconds)."""

GIT = ("git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no")


class Asked(msgspec.Struct, frozen=True):
    """What is looked at."""

    root: str
    files: tuple[str, ...] = ()
    git: bool = False
    packages: bool = False
    env: tuple[str, ...] = ()


class Fingerprint(msgspec.Struct, frozen=True):
    """What was found."""

    files: dict[str, str]
    """By path: size in bytes, time of the last write in nanoseconds, hash of the content."""
    git: dict[str, Any] | None
    """`commit`, `branch`, and how many files are `changed`; None: not asked for, or none there."""
    packages: dict[str, str] | None
    """Versions of the packages that are installed, and of Python; None: not asked for."""
    env: dict[str, str | None]
    """By name: a keyed hash of the value, for the value may be a secret; None: it is not set."""


def take(asked: Asked, known: Mapping[str, str], salt: bytes) -> Fingerprint:
    """Look at what is asked for.

    Files are read only if their size or time is not what is `known` of them.

    Args:
        asked: what to look at.
        known: the files of an earlier fingerprint.
        salt: the key of the hashes of variables.
    """
    now = time.time_ns()
    stats = find(asked.root, asked.files)
    return Fingerprint(
        {path: _file(asked.root, path, stat, known.get(path), now) for path, stat in stats.items()},
        git_status(asked.root) if asked.git else None,
        packages() if asked.packages else None,
        {name: _variable(name, salt) for name in asked.env},
    )


# ---- files ----------------------------------------------------------------------------------


def _file(root: str, path: str, stat: os.stat_result, known: str | None, now: int) -> str:
    """What is told of a file: as it is known, if its size and time are what they were."""
    seen = f"{stat.st_size} {stat.st_mtime_ns} "
    if known is not None and known.startswith(seen):
        return known
    hash_ = _hash(os.path.join(root, path), stat.st_size)
    if stat.st_mtime_ns > now - RACY_NS:
        seen = f"{stat.st_size} 0 "  # no file's time: it is read once more next time
    return seen + hash_


def _hash(path: str, size: int) -> str:
    if size > limits.environment_file_bytes_max:
        return UNHASHED
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES))
    except OSError:
        return UNHASHED
    return found.hexdigest()


def is_same_file(before: str, after: str) -> bool:
    """Whether two entries are of the same content, whenever it was written."""
    if before == after:
        return True
    size, time_, hash_ = before.split(" ")
    now_size, now_time, now_hash = after.split(" ")
    if UNHASHED in (hash_, now_hash):
        return (size, time_) == (now_size, now_time)
    return (size, hash_) == (now_size, now_hash)


# ---- the rest -------------------------------------------------------------------------------


def git_status(root: str) -> dict[str, Any] | None:
    """Commit, branch and changed files of the repository that a directory is in."""
    try:
        found = subprocess.run(
            GIT,
            cwd=root,
            capture_output=True,
            check=False,
            timeout=limits.environment_git_seconds_max,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # there is no git here, or none that answers
    if found.returncode:
        return None
    lines = found.stdout.decode("utf-8", "replace").splitlines()
    told = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    return {
        "commit": told.get("branch.oid"),
        "branch": told.get("branch.head"),
        "changed": sum(1 for line in lines if not line.startswith("#")),
    }


def packages() -> dict[str, str]:
    """Versions of what is installed where this process imports from, by name; and of Python.

    They stand in the names of directories, as the specification of installed distributions says:
    nothing in them is read.
    """
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for each in names:
            if each.endswith(".dist-info"):
                name, _, version = Path(each).stem.partition("-")
                found.setdefault(name.replace("_", "-").lower(), version)
    return dict(sorted(found.items()))


def _variable(name: str, salt: bytes) -> str | None:
    value = os.environ.get(name)
    if value is None:
        return None
    text = value.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, key=salt, digest_size=HASH_BYTES).hexdigest()
