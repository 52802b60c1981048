"""The keys of a store: wrapped by the root key, and wrapping the data keys of its states.

What is stored are two kinds of rows. The store's own holds the store keys, each wrapped by the root
key, and what the store is (`Settings`), sealed with the newest of them. A row of a state holds its
data keys, each wrapped by a store key. `docs/format.md` has the bytes.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Annotated, Literal, Protocol, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from perdure.errors import (
    GIVE_KEY,
    UPGRADE,
    KeyMissing,
    NewerFormat,
    PerdureError,
    Tampered,
    WrongKey,
)
from perdure.keys.data import NONCE_BYTES, DataKeys
from perdure.keys.derive import KEY_BYTES, derive

VERSION = 0
HIDDEN = "~"
"""What the stored key of a state begins with where names are hidden."""

Stage: TypeAlias = Literal["clear", "sealed"]
"""Whether rows in the clear are taken ("clear": while a store is being encrypted), or refused."""


Rewrap: TypeAlias = Literal["", "keys", "deep"]


class RootKey(Protocol):
    """What wraps a store's keys: a key of this machine, or a service that keeps one."""

    @property
    def key_id(self) -> str:
        """Which key it is, for people; it says nothing about the key."""

    def wrap(self, key: bytes) -> bytes:
        """The 32 bytes of a key, so that only `unwrap` gives them back."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that `wrap` was given.

        Raises:
            WrongKey: another key wrapped it.
        """


class Settings(msgspec.Struct, frozen=True):
    """What an encrypted store is; nobody changes it who has no key."""

    stage: Stage = "sealed"
    hidden: bool = False
    """Whether the names of states are."""
    apart: bool = False
    """Whether data keys are in another store."""
    rewrap: Rewrap = ""
    """What is under way: new store keys, or new data keys too; "": nothing."""


class _StoreRow(msgspec.Struct, frozen=True, array_like=True):
    magic: str
    version: int
    root: str
    wrapped: dict[int, bytes]
    """By generation, the store keys."""
    settings: bytes


class _Wrapped(msgspec.Struct, frozen=True, array_like=True):
    generation: Annotated[int, msgspec.Meta(ge=1, lt=2**16)]
    by: int
    """Generation of the store key that wraps it."""
    key: bytes


_MAGIC = "perdure keys"
ROW = "the store's own key row"
_encode = msgspec.msgpack.Encoder().encode
_decode_store = msgspec.msgpack.Decoder(_StoreRow).decode
_decode_data = msgspec.msgpack.Decoder(list[_Wrapped]).decode
_NO_ROW = (msgspec.DecodeError, UnicodeDecodeError)
"""How bytes that are no row show."""
_decode_settings = msgspec.msgpack.Decoder(Settings).decode


class Ring:
    """A store's keys, unwrapped."""

    __slots__ = ("blob", "keys", "newest", "root_id", "settings", "store")

    def __init__(
        self, store: bytes, keys: dict[int, bytes], root_id: str, settings: Settings, blob: bytes
    ) -> None:
        self.store = store
        self.keys = keys
        self.newest = max(keys)
        self.root_id = root_id
        self.settings = settings
        self.blob = blob
        """The row that it was read from."""

    @classmethod
    def drawn(cls, store: bytes, root: RootKey, settings: Settings) -> Ring:
        """The ring of a store that had none."""
        return cls(store, {1: os.urandom(KEY_BYTES)}, "", settings, b"").wrapped(root)

    @classmethod
    def read(cls, store: bytes, blob: bytes, root: RootKey) -> Ring:
        """The ring in a store's row.

        Raises:
            WrongKey: `root` is not the key that it was wrapped by.
            Tampered: it is not what this key wrapped for this store.
        """
        row = store_row(blob)
        keys = {at: _unwrapped(root, row, each) for at, each in row.wrapped.items()}
        if not keys:
            raise Tampered("the store's own key row has no key", form="content", place=ROW)
        ring = cls(store, keys, row.root, Settings(), blob)
        try:
            sealed = _decrypt(ring._own(), row.settings, ring._bound(row.root))
            ring.settings = _decode_settings(sealed)
        except (InvalidTag, *_NO_ROW) as error:
            raise Tampered(
                f"the store's own key row is not what was sealed under root key {row.root}",
                form="content",
                place=ROW,
            ) from error
        return ring

    # ---- the store's row --------------------------------------------------------------------

    def wrapped(self, root: RootKey) -> Ring:
        """The same keys, wrapped by this root key."""
        root_id = root.key_id
        wrapped = {at: root.wrap(key) for at, key in self.keys.items()}
        sealed = _encrypt(self._own(), _encode(self.settings), self._bound(root_id))
        blob = _encode(_StoreRow(_MAGIC, VERSION, root_id, wrapped, sealed))
        return Ring(self.store, self.keys, root_id, self.settings, blob)

    def with_settings(self, settings: Settings) -> Ring:
        """The same ring of a store that is something else from now on."""
        sealed = _encrypt(self._own(), _encode(settings), self._bound(self.root_id))
        blob = _encode(replace(store_row(self.blob), settings=sealed))
        return Ring(self.store, self.keys, self.root_id, settings, blob)

    def renewed(self, root: RootKey) -> Ring:
        """These keys, and a new one that wraps from now on."""
        keys = {**self.keys, self.newest + 1: os.urandom(KEY_BYTES)}
        return Ring(self.store, keys, self.root_id, self.settings, b"").wrapped(root)

    def without(self, gone: set[int], root: RootKey) -> Ring:
        """These keys but for some, which wrap nothing any more."""
        if self.settings.hidden:
            gone = gone - {min(self.keys)}
        keys = {at: key for at, key in self.keys.items() if at not in gone}
        return Ring(self.store, keys, self.root_id, self.settings, b"").wrapped(root)

    def _own(self) -> bytes:
        return derive(self.keys[self.newest], self.store, b"perdure.store")

    def _bound(self, root_id: str) -> bytes:
        return self.store + root_id.encode()

    # ---- rows of states ---------------------------------------------------------------------

    def wrap(self, keys: DataKeys) -> bytes:
        """A state's data keys as they are stored."""
        by, wrapping = self.newest, self._wrapping(self.newest)
        return _encode(
            [
                _Wrapped(at, by, _encrypt(wrapping, key, self._place(keys.owner, at)))
                for at, key in keys.keys.items()
            ]
        )

    def unwrap(self, owner: bytes, blob: bytes) -> DataKeys:
        """The data keys in a state's row.

        Raises:
            Tampered: it is not what was wrapped for this state.
            KeyMissing: a store key wrapped it that is not here (yet).
        """
        what = f"the key row of {owner.hex()[:12]}"
        try:
            row = _decode_data(blob)
            keys = {
                each.generation: _decrypt(
                    self._wrapping(each.by), each.key, self._place(owner, each.generation)
                )
                for each in row
            }
        except KeyError as error:
            raise KeyMissing(
                f"{what}: was wrapped by store key {error}, which is not here"
            ) from None
        except (InvalidTag, *_NO_ROW) as error:
            raise Tampered(
                f"{what} is not what was wrapped there under root key {self.root_id}",
                form="content",
                place=what,
            ) from error
        if not keys:
            raise Tampered(f"{what} holds no key", form="content", place=what)
        return DataKeys(owner, keys, blob)

    def wrapped_by(self, blob: bytes) -> set[int]:
        """The generations of the store keys that wrap a state's row."""
        try:
            return {each.by for each in _decode_data(blob)}
        except _NO_ROW:
            return set()

    def _wrapping(self, generation: int) -> bytes:
        return derive(self.keys[generation], self.store, b"perdure.wrap")

    def _place(self, owner: bytes, generation: int) -> bytes:
        return self.store + owner + generation.to_bytes(2, "big")

    # ---- names ------------------------------------------------------------------------------

    def hidden(self, name: str) -> str:
        """The key that a state of this name is stored under."""
        # By the first of the keys, which is kept for it: names do not move when keys do.
        key = derive(self.keys[min(self.keys)], self.store, b"perdure.names")
        digest = blake2b(name.encode(errors="surrogateescape"), digest_size=24, key=key)
        return HIDDEN + digest.hexdigest()


def store_row(blob: bytes) -> _StoreRow:
    """What a store's row says in the clear.

    Raises:
        Tampered: it is no such row.
        NewerFormat: a newer version wrote it.
    """
    try:
        row = _decode_store(blob)
    except _NO_ROW as error:
        raise Tampered("the store's own key row is not one", form="content", place=ROW) from error
    if row.magic != _MAGIC:
        raise Tampered("the store's own key row is not one", form="content", place=ROW)
    if row.version > VERSION:
        raise NewerFormat(f"the store's keys are of format {row.version}; {UPGRADE}")
    return row


def _unwrapped(root: RootKey, row: _StoreRow, wrapped: bytes) -> bytes:
    """A store key; what a service raises is told in our words."""
    try:
        key = root.unwrap(wrapped)
    except WrongKey as error:
        which = f"encrypted under root key {row.root}, and the key given is {root.key_id}"
        raise WrongKey(f"{which}; {GIVE_KEY}") from error
    except PerdureError:
        raise
    except Exception as error:
        raise KeyMissing(f"root key {row.root} could not be used: {error}") from error
    if len(key) != KEY_BYTES:
        raise WrongKey(f"what root key {root.key_id} unwraps is no key")
    return key


def _encrypt(key: bytes, clear: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, clear, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    if len(sealed) < NONCE_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
