"""The stores of a simulated world: object stores it steps into, keys, bounds that are soon met."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from perdure import limits
from perdure.backends import objects
from perdure.backends.bucket import Bucket
from perdure.backends.layer import Layer
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend, StoreInfo
from perdure.core import tree
from perdure.core.cut import Bounds
from perdure.engine.requests import Answer, Commit, StorageRequest
from perdure.errors import CommitUnknown, PerdureError


class _Bucket(Bucket):
    """A bucket between whose operations a world may step in."""

    def __init__(self, step_in: Callable[[], None]) -> None:
        super().__init__()
        self._step_in = step_in

    def get(self, name: str) -> tuple[int, bytes] | None:
        """As of a bucket."""
        self._step_in()
        return super().get(name)

    def put(self, name: str, data: bytes, *, version: int | None = None) -> bool:
        """As of a bucket."""
        self._step_in()
        return super().put(name, data, version=version)

    def replace(self, name: str, data: bytes) -> None:
        """As of a bucket."""
        self._step_in()
        super().replace(name, data)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """As of a bucket."""
        self._step_in()
        super().delete(name, version=version)


class SimulatedObjects(ObjectBackend):
    """An object store of a world.

    Args:
        step_in: called before each operation of its bucket.
    """

    def __init__(self, step_in: Callable[[], None]) -> None:
        super().__init__()
        self._bucket = _Bucket(step_in)


@contextmanager
def inline_bytes(size: int) -> Iterator[None]:
    """Let head objects carry this many bytes of records, so that segments are put early."""
    with patch.object(objects, "inline_bytes_max", size):
        yield


_are_encrypted = False


@contextmanager
def encrypted(are_so: bool = True) -> Iterator[None]:
    """Let the stores of worlds that are made have a key."""
    with patch.object(sys.modules[__name__], "_are_encrypted", are_so):
        yield


class Losing(Layer):
    """A store whose requests get lost on their way, after what stands before it saw them.

    Args:
        inner: the store.
        is_lost: whether the next commit is.
    """

    def __init__(self, inner: Backend, is_lost: Callable[[], bool]) -> None:
        self.inner = inner
        self._is_lost = is_lost

    def connect(self) -> StoreInfo:
        """Open the store."""
        return self.inner.connect()

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request."""
        return self.inner.perform(request)

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit of the batch, unless it is lost."""
        if self._is_lost():
            raise CommitUnknown("the request was lost")
        return self.inner.commit(batch)

    def close(self) -> None:
        """Release everything."""
        self.inner.close()


def perhaps_encrypted(inner: Backend, is_lost: Callable[[], bool]) -> Backend:
    """A backend as it is, or before it one with a key: see `encrypted`.

    What `is_lost` on its way to an encrypted one, its keys have seen.
    """
    if not _are_encrypted:
        return inner
    from perdure.keys import LocalKey  # few worlds have a key
    from perdure.keys.backend import KeyedBackend

    backend = KeyedBackend(Losing(inner, is_lost), LocalKey(bytes(32)))
    backend.connect()
    return backend


@contextmanager
def small_world() -> Iterator[None]:
    """Bounds so small that a few saves reach all of them: segments, snapshots, trees of levels."""
    with ExitStack() as stack:
        for module, name, bound in _SMALL:
            stack.enter_context(patch.object(module, name, bound))
        yield


_SMALL: tuple[tuple[Any, str, Any], ...] = (
    (objects, "inline_bytes_max", 700),
    (limits, "tail_records_max", 2),
    (limits, "snapshots_kept_max", 2),
    (limits, "section_inline_bytes_max", 8),
    (limits, "inline_bytes_max", 32),
    (limits, "claims_inline_max", 2),
    (limits, "claim_result_inline_bytes_max", 60),
    (tree, "LEAVES", Bounds(16, 32, 64)),
    (tree, "INNER", Bounds(80, 160, 240)),
)
