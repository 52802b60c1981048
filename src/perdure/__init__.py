"""Perdure makes an AI agent's state outlive its sessions.

>>> import perdure
>>> store = perdure.Store("agents.db")
>>> with store.open("support/alice") as session:
...     session.state.setdefault("messages", []).append({"role": "user", "content": "Hello"})
"""

from __future__ import annotations

TYPE_CHECKING = False
# Type checkers take the name for typing's own; importing typing would be most of our import time.

__version__ = "0.1.0"

if TYPE_CHECKING:
    from perdure import errors as errors
    from perdure import lenses as lenses
    from perdure import otel as otel
    from perdure.aio import AsyncStore as AsyncStore
    from perdure.aio_session import AsyncSession as AsyncSession
    from perdure.aio_watch import AsyncWatch as AsyncWatch
    from perdure.core.changes import Change as Change
    from perdure.core.changes import Delete as Delete
    from perdure.core.changes import Members as Members
    from perdure.core.changes import Set as Set
    from perdure.core.changes import Splice as Splice
    from perdure.core.diff import Difference as Difference
    from perdure.core.json_patch import json_patch as json_patch
    from perdure.core.merge import MergeConflict as MergeConflict
    from perdure.core.refs import Ref as Ref
    from perdure.core.refs import label as label
    from perdure.core.refs import time as time
    from perdure.core.retention import Retention as Retention
    from perdure.errors import AlreadyClaimed as AlreadyClaimed
    from perdure.errors import BadStored as BadStored
    from perdure.errors import BranchMoved as BranchMoved
    from perdure.errors import Busy as Busy
    from perdure.errors import CommitUnknown as CommitUnknown
    from perdure.errors import Conflict as Conflict
    from perdure.errors import Damaged as Damaged
    from perdure.errors import Erased as Erased
    from perdure.errors import LossyLens as LossyLens
    from perdure.errors import MigrationFailed as MigrationFailed
    from perdure.errors import PerdureError as PerdureError
    from perdure.errors import Redacted as Redacted
    from perdure.errors import SchemaChanged as SchemaChanged
    from perdure.errors import SchemaNewer as SchemaNewer
    from perdure.errors import StateNotFound as StateNotFound
    from perdure.errors import StepFailed as StepFailed
    from perdure.errors import UnknownOutcome as UnknownOutcome
    from perdure.errors import Waiting as Waiting
    from perdure.errors import WrongType as WrongType
    from perdure.events import Event as Event
    from perdure.materializing import materialize as materialize
    from perdure.naming import key as key
    from perdure.naming import key_parts as key_parts
    from perdure.reports import ErasedLife as ErasedLife
    from perdure.reports import Erasure as Erasure
    from perdure.reports import Pruned as Pruned
    from perdure.reports import Redaction as Redaction
    from perdure.schemas.declare import migration as migration
    from perdure.schemas.declare import schema as schema
    from perdure.schemas.ephemeral import ephemeral as ephemeral
    from perdure.secrets.policy import Secrets as Secrets
    from perdure.session import Session as Session
    from perdure.store import Store as Store
    from perdure.types import BranchInfo as BranchInfo
    from perdure.types import Checkpoint as Checkpoint
    from perdure.types import FoundSecret as FoundSecret
    from perdure.types import Merge as Merge
    from perdure.types import Movement as Movement
    from perdure.types import Resumed as Resumed
    from perdure.types import SessionInfo as SessionInfo
    from perdure.types import StateInfo as StateInfo
    from perdure.views import View as View
    from perdure.watching import Landed as Landed
    from perdure.watching import Watch as Watch

_HOMES = {
    "errors": "perdure.errors",
    "lenses": "perdure.lenses",
    "otel": "perdure.otel",
    "AsyncSession": "perdure.aio_session",
    "AsyncStore": "perdure.aio",
    "AsyncWatch": "perdure.aio_watch",
    "Change": "perdure.core.changes",
    "Delete": "perdure.core.changes",
    "Members": "perdure.core.changes",
    "Set": "perdure.core.changes",
    "Splice": "perdure.core.changes",
    "Difference": "perdure.core.diff",
    "Ref": "perdure.core.refs",
    "label": "perdure.core.refs",
    "time": "perdure.core.refs",
    "Retention": "perdure.core.retention",
    "MergeConflict": "perdure.core.merge",
    "AlreadyClaimed": "perdure.errors",
    "BadStored": "perdure.errors",
    "WrongType": "perdure.errors",
    "key": "perdure.naming",
    "key_parts": "perdure.naming",
    "materialize": "perdure.materializing",
    "BranchMoved": "perdure.errors",
    "Busy": "perdure.errors",
    "CommitUnknown": "perdure.errors",
    "Conflict": "perdure.errors",
    "Damaged": "perdure.errors",
    "Erased": "perdure.errors",
    "LossyLens": "perdure.errors",
    "MigrationFailed": "perdure.errors",
    "PerdureError": "perdure.errors",
    "SchemaChanged": "perdure.errors",
    "SchemaNewer": "perdure.errors",
    "StateNotFound": "perdure.errors",
    "StepFailed": "perdure.errors",
    "UnknownOutcome": "perdure.errors",
    "Waiting": "perdure.errors",
    "Event": "perdure.events",
    "migration": "perdure.schemas.declare",
    "schema": "perdure.schemas.declare",
    "ephemeral": "perdure.schemas.ephemeral",
    "Secrets": "perdure.secrets.policy",
    "FoundSecret": "perdure.types",
    "Session": "perdure.session",
    "Store": "perdure.store",
    "View": "perdure.views",
    "Landed": "perdure.watching",
    "Watch": "perdure.watching",
    "BranchInfo": "perdure.types",
    "Checkpoint": "perdure.types",
    "Merge": "perdure.types",
    "Movement": "perdure.types",
    "ErasedLife": "perdure.reports",
    "Erasure": "perdure.reports",
    "Pruned": "perdure.reports",
    "Redacted": "perdure.errors",
    "Redaction": "perdure.reports",
    "Resumed": "perdure.types",
    "SessionInfo": "perdure.types",
    "StateInfo": "perdure.types",
    "json_patch": "perdure.core.json_patch",
}

__all__ = sorted(("__version__", *_HOMES))  # noqa: PLE0605 - computed, so it cannot differ


def __getattr__(name: str) -> object:
    # Importing perdure stays cheap: what a name needs is imported when it is first used.
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    module = import_module(home)
    value = module if home == f"perdure.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
