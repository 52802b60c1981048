"""Where root keys come from: the environment, a file, a passphrase, the system's keyring."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure.errors import KeyMissing, UsageError, WrongKey
from perdure.keys.derive import KEY_BYTES

if TYPE_CHECKING:
    from perdure.keys.ring import RootKey

Key: TypeAlias = "bytes | str | Callable[[], bytes] | RootKey"
"""What `key=` takes: 32 bytes, a form such as `env:NAME`, a function that gives the bytes, or any
object with `key_id`, `wrap` and `unwrap`."""

FORMS = ("env:NAME", "file:PATH", "keyring:SERVICE", "passphrase")
"""The forms in which a key is named by a text."""

PASSPHRASE_VARIABLE = "PERDURE_PASSPHRASE"
NONCE_BYTES = 12
_BOUND = b"perdure.root"


class LocalKey:
    """A root key whose 32 bytes are on this machine.

    Args:
        secret: the bytes, or a function that gives them when they are first needed.

    Example:
        >>> key = LocalKey(bytes(32))
        >>> key.unwrap(key.wrap(b"a key"))
        b'a key'
    """

    def __init__(self, secret: bytes | Callable[[], bytes]) -> None:
        self._secret = secret
        self._found: bytes | None = None

    def secret(self) -> bytes:
        """The key's bytes, got when they are first needed.

        Raises:
            KeyMissing: it is not where it should be.
            UsageError: what is there is no key.
        """
        if self._found is None:
            found: Any = self._get()
            if not isinstance(found, bytes) or len(found) != KEY_BYTES:
                what = f"{len(found)} bytes" if isinstance(found, bytes) else type(found).__name__
                raise UsageError(f"a key has {KEY_BYTES} bytes, and {self} is {what}; {MAKE_ONE}")
            self._found = found
        return self._found

    def _get(self) -> bytes:
        return self._secret() if callable(self._secret) else self._secret

    @property
    def key_id(self) -> str:
        """A short hash of the key: which it is, and nothing about it."""
        digest = hashlib.blake2b(self.secret(), digest_size=6, person=b"perdure.key id")
        return digest.hexdigest()

    def wrap(self, key: bytes) -> bytes:
        """A key, sealed by this one."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.secret()).encrypt(nonce, key, _BOUND)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that was wrapped.

        Raises:
            WrongKey: this one did not wrap it.
        """
        return _unwrapped(self.secret(), wrapped, _BOUND, str(self))

    def __str__(self) -> str:
        return "the key given"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class EnvironmentKey(LocalKey):
    """The key in an environment variable: 32 bytes in base64, or 64 hexadecimal digits.

    Example:
        >>> EnvironmentKey("PERDURE_KEY")
        <EnvironmentKey: the key in the environment variable PERDURE_KEY>
    """

    def __init__(self, name: str = "PERDURE_KEY") -> None:
        super().__init__(b"")
        self.name = name

    def _get(self) -> bytes:
        text = os.environ.get(self.name)
        if not text:
            raise KeyMissing(f"{self} is not there: the variable is not set; {NAME_OR_MAKE}")
        return _decoded(text, str(self))

    def __str__(self) -> str:
        return f"the key in the environment variable {self.name}"


class FileKey(LocalKey):
    """The key in a file that only its owner can read: 32 bytes, as they are or as text.

    Args:
        path: the file. On Windows, where files have no such mode, that is left to whoever made it.

    Example:
        >>> FileKey("agents.key")
        <FileKey: the key in agents.key>
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(b"")
        self.path = Path(path).expanduser()

    @classmethod
    def make(cls, path: str | os.PathLike[str]) -> FileKey:
        """Draw a new key and keep it in a file, which must not exist yet.

        Raises:
            UsageError: the file exists, or cannot be made.
        """
        made = cls(path)
        text = base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"
        try:
            with open(
                os.open(made.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise UsageError(f"{made.path} exists already; a key is never written over") from None
        except OSError as error:
            raise UsageError(f"cannot make {made.path}: {error.strerror or error}") from error
        return made

    def _get(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(1024)
        except FileNotFoundError:
            raise KeyMissing(f"{self} is not there; {NAME_OR_MAKE}") from None
        except OSError as error:
            raise KeyMissing(f"{self} cannot be read: {error.strerror or error}") from error
        if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{self} can be read by others (mode {stat.S_IMODE(mode):04o}): "
                f"chmod 600 {self.path}"
            )
        if len(data) == KEY_BYTES:
            return data
        return _decoded(data.decode("ascii", "replace"), str(self))

    def __str__(self) -> str:
        return f"the key in {self.path}"


class KeyringKey(LocalKey):
    """The key in the system's keyring (the extra `keyring`), which is made there if there is none.

    Args:
        service: what the keyring keeps it under.
        user: likewise.

    Example:
        >>> KeyringKey("perdure")
        <KeyringKey: the key of 'perdure' in the keyring>
    """

    def __init__(self, service: str = "perdure", user: str = "root key") -> None:
        super().__init__(b"")
        self.service = service
        self.user = user

    def _get(self) -> bytes:
        try:
            import keyring
            from keyring.errors import KeyringError
        except ImportError as error:
            raise UsageError("the keyring needs: pip install 'perdure[keyring]'") from error
        try:
            text = keyring.get_password(self.service, self.user)
            if text is None:
                text = base64.b64encode(os.urandom(KEY_BYTES)).decode()
                keyring.set_password(self.service, self.user, text)
                text = keyring.get_password(self.service, self.user)
        except KeyringError as error:
            raise KeyMissing(f"{self} cannot be read: {error}") from error
        return _decoded(text or "", str(self))

    def __str__(self) -> str:
        return f"the key of {self.service!r} in the keyring"


class PassphraseKey:
    """A root key made of a passphrase, by scrypt; its parameters stand with what it wrapped.

    Args:
        passphrase: the words, or a function that gives them when they are first needed.
        cost: 2 to this power is scrypt's N; each one more doubles time and memory (16: 64 MiB).

    Example:
        >>> key = PassphraseKey("correct horse battery staple", cost=12)
        >>> key.unwrap(key.wrap(b"a key"))
        b'a key'
    """

    COST_MIN, COST_MAX = 10, 20
    _PARAMETERS = struct.Struct(">BBB16s")

    def __init__(self, passphrase: str | Callable[[], str], *, cost: int = 16) -> None:
        if not self.COST_MIN <= cost <= self.COST_MAX:
            raise UsageError(f"cost is {self.COST_MIN} to {self.COST_MAX}, not {cost!r}")
        self._passphrase = passphrase
        self._words: str | None = None
        self._cost = cost

    @property
    def key_id(self) -> str:
        """Always the same: anything more would help who guesses."""
        return "passphrase"

    def wrap(self, key: bytes) -> bytes:
        """A key, sealed by one that a new salt and the passphrase give."""
        parameters = self._PARAMETERS.pack(self._cost, 8, 1, os.urandom(16))
        nonce = os.urandom(NONCE_BYTES)
        cipher = AESGCM(self._stretched(parameters))
        return parameters + nonce + cipher.encrypt(nonce, key, _BOUND + parameters)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that was wrapped.

        Raises:
            WrongKey: another passphrase wrapped it.
        """
        size = self._PARAMETERS.size
        parameters = wrapped[:size]
        if len(parameters) < size or not self.COST_MIN <= parameters[0] <= self.COST_MAX:
            raise WrongKey("no passphrase wrapped the store's keys")
        secret = self._stretched(parameters)
        return _unwrapped(secret, wrapped[size:], _BOUND + parameters, "the passphrase")

    def _stretched(self, parameters: bytes) -> bytes:
        cost, block, parallel, salt = self._PARAMETERS.unpack(parameters)
        if (block, parallel) != (8, 1):
            raise WrongKey("no passphrase of this version wrapped the store's keys")
        if self._words is None:
            words = self._passphrase() if callable(self._passphrase) else self._passphrase
            if not words:
                raise KeyMissing("the passphrase is empty")
            self._words = words
        size = 128 * block * (2**cost + parallel + 1)
        return hashlib.scrypt(
            self._words.encode(errors="surrogateescape"),
            salt=salt,
            n=2**cost,
            r=block,
            p=parallel,
            maxmem=size + (1 << 20),
            dklen=KEY_BYTES,
        )

    def __repr__(self) -> str:
        return "<PassphraseKey>"


def root_key(key: Any) -> RootKey:
    """What `key=` was given as a root key; nothing is read yet.

    Raises:
        UsageError: it is no key, and names none.
    """
    if isinstance(key, str):
        return _named(key)
    if all(hasattr(key, name) for name in ("key_id", "wrap", "unwrap")):
        found: RootKey = key
        return found
    if isinstance(key, bytes) or callable(key):
        local = LocalKey(key)
        if isinstance(key, bytes):
            local.secret()
        return local
    raise UsageError(
        f"a key is {KEY_BYTES} bytes, {', '.join(FORMS)}, a function that gives the bytes, or an "
        f"object with key_id, wrap and unwrap, not {type(key).__name__}"
    )


def _named(text: str) -> RootKey:
    form, _, rest = text.partition(":")
    match form:
        case "env" if rest:
            return EnvironmentKey(rest)
        case "file" if rest:
            return FileKey(rest)
        case "keyring":
            return KeyringKey(rest or "perdure")
        case "passphrase" if not rest:
            return PassphraseKey(_asked)
    # Only a file's name is said again: another text may be the key itself.
    meant = f"; for this file: file:{text}" if os.path.isfile(text) else ""
    raise UsageError(f"a key is named as {', '.join(FORMS)}; this is none of them{meant}")


def _asked() -> str:
    words = os.environ.get(PASSPHRASE_VARIABLE)
    if words:
        return words
    if not sys.stdin.isatty():
        raise KeyMissing(f"nobody is there to ask for the passphrase; set {PASSPHRASE_VARIABLE}")
    from getpass import getpass

    return getpass("Passphrase: ")


def _unwrapped(secret: bytes, wrapped: bytes, bound: bytes, what: str) -> bytes:
    nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    if len(nonce) == NONCE_BYTES:
        try:
            return AESGCM(secret).decrypt(nonce, sealed, bound)
        except InvalidTag:
            pass
    raise WrongKey(f"{what} does not open the store's keys")


MAKE_ONE = "make one: perdure keys new FILE, or python -c 'import os,base64; "
MAKE_ONE += "print(base64.b64encode(os.urandom(32)).decode())'"
NAME_OR_MAKE = f"name the key that the store is under, or, for a store that has none, {MAKE_ONE}"


def _decoded(text: str, what: str) -> bytes:
    text = text.strip()
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        found = base64.b64decode(padded, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != KEY_BYTES:
        raise UsageError(f"{what} is not {KEY_BYTES} bytes in base64 or hexadecimal; {MAKE_ONE}")
    return found
