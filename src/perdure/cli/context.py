"""What the commands share: the store they speak of, and the options that all of them take."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perdure.errors import (
    Damaged,
    Malformed,
    PerdureError,
    ReplayMismatch,
    StateExists,
    StateNotFound,
    StoreUnavailable,
    retold,
)

if TYPE_CHECKING:
    from datetime import datetime

    from perdure.backends.protocol import Backend
    from perdure.core.refs import Ref
    from perdure.store import Store

F = TypeVar("F", bound=Callable[..., Any])

VARIABLE = "PERDURE_STORE"
KEY_VARIABLE = "PERDURE_KEY"
MAIN = "main"
"""The branch that is meant where none is named; importing it would cost every start."""
STORE_HELP = "Path or URL of the store."
KEY_HELP = "Root key of an encrypted store: env:NAME, file:PATH, keyring:SERVICE or passphrase."
ANCHOR_HELP = "File that knows how far the states had come: older versions are refused."
ANCHOR_VARIABLE = "PERDURE_ANCHOR"
KEYS_HELP = "Path or URL of the store that the data keys are in, if that is another."
NO_STORE = (
    f"no store was named: give --store PATH (such as --store agents.db), or set {VARIABLE} to it"
)


@dataclass(slots=True)
class Settings:
    """What options that all commands share were set to."""

    store: str | None = None
    json: bool = False
    key: str | None = None
    keys_url: str | None = None
    anchor: str | None = None
    refuses_secrets: bool = False


def settings() -> Settings:
    """Those of the running command."""
    return click.get_current_context().ensure_object(Settings)


def keep_store(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Remember the store; the one named last, after the command, counts."""
    found = ctx.ensure_object(Settings)
    found.store = value or found.store


def keep_key(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Remember how the root key is named."""
    found = ctx.ensure_object(Settings)
    found.key = value or found.key


def keep_keys(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Remember where the data keys are."""
    found = ctx.ensure_object(Settings)
    found.keys_url = value or found.keys_url


def keep_anchor(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Remember where the anchor is."""
    found = ctx.ensure_object(Settings)
    found.anchor = value or found.anchor


def _keep_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    found = ctx.ensure_object(Settings)
    found.json = value or found.json


def _keep_refusal(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    found = ctx.ensure_object(Settings)
    found.refuses_secrets = value or found.refuses_secrets


def refuses_secrets(function: F) -> F:
    """Give a command `--refuse-secrets`."""
    return click.option(
        "--refuse-secrets",
        is_flag=True,
        expose_value=False,
        callback=_keep_refusal,
        help="Write nothing that has what looks like a key or a token.",
    )(function)


def takes_key(function: F) -> F:
    """Give a command `--key`; it may stand before the command too."""
    return click.option(
        "--key",
        "named_key",
        metavar="FORM",
        expose_value=False,
        callback=keep_key,
        help=f"{KEY_HELP} By default what {KEY_VARIABLE} holds.",
    )(function)


def on_store(function: F) -> F:
    """Give a command `--store` and `--key`; they may stand before the command too."""
    function = takes_key(function)
    return click.option(
        "--store",
        metavar="URL",
        expose_value=False,
        callback=keep_store,
        help=f"{STORE_HELP} By default that of {VARIABLE}.",
    )(function)


def gives_json(function: F) -> F:
    """Give a command `--json`."""
    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_keep_json,
        help="Print one JSON document.",
    )(function)


def on_branch(function: F) -> F:
    """Give a command `--branch`."""
    return click.option("--branch", metavar="B", help="On this branch. By default main.")(function)


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\b\n" + "\n".join(["Example:", *(f"  perdure {command}" for command in commands)])


def store_url() -> str:
    """The store that was named.

    Raises:
        click.UsageError: none was.
    """
    url = settings().store
    if url is None:
        raise click.UsageError(NO_STORE)
    return url


def require_store(backend: Backend) -> None:
    """Raise the error for a store that is not there, with the way out that a command line has.

    Raises:
        Tampered: the anchor that was named knows of one.
        StoreUnavailable: nobody knows of one.
    """
    path = getattr(backend, "path", None)
    if path is not None and not os.path.exists(path):
        if (anchor := settings().anchor) is not None:
            from perdure.anchors.opening import anchored

            anchored(backend, anchor, read_only=True).is_made()
        raise StoreUnavailable(
            f"There is no store at {path}. Name another with --store or {VARIABLE}; of all "
            "commands only import makes one."
        )


def key_options(*, needed: bool = False) -> dict[str, Any]:
    """The root key and the place of the data keys, as `Store` takes them.

    A key that only the environment holds is for encrypted stores, and those that are made, unless
    one is `needed` in any case.

    Raises:
        click.UsageError: one is, and none was named.
    """
    named = settings().key
    if named is None and os.environ.get(KEY_VARIABLE) and (needed or _takes_key()):
        named = f"env:{KEY_VARIABLE}"
    if named is None and needed:
        raise click.UsageError(f"no key was named: give --key FORM, or set {KEY_VARIABLE}")
    options = {"key": named, "keys_url": settings().keys_url} if named is not None else {}
    anchor = settings().anchor
    return options | ({"anchor": anchor} if anchor is not None else {})


def _takes_key() -> bool:
    """Whether the named store is encrypted, or not there yet."""
    from perdure.backends.url import backend_for
    from perdure.encrypted import root_id

    backend = backend_for(store_url(), create=False, read_only=True)
    path = getattr(backend, "path", None)
    if path is not None and not os.path.exists(path):
        return True
    try:
        backend.connect()
        return root_id(backend) is not None
    except PerdureError:
        return False  # what is wrong with it is told when it is opened
    finally:
        backend.close()


@contextmanager
def opened(
    key: str | None = None,
    *,
    write: bool = False,
    create: bool = False,
    needs_key: bool = False,
) -> Iterator[Store]:
    """The named store; it is made only where `create` says so.

    What is wrong with the state `key` is told with the way out that a command line has.
    """
    from perdure.store import Store

    if not create:
        from perdure.backends.url import backend_for

        require_store(backend_for(store_url()))
    options = key_options(needed=needs_key)
    if settings().refuses_secrets:
        options["secrets"] = "refuse"
    with Store(store_url(), create=create, read_only=not write, **options) as store:
        try:
            yield store
        except StateNotFound as error:
            from perdure.cli.nearby import instead

            hint = instead(store, key) if key is not None else ""
            raise StateNotFound(f"{error}{hint}") from error
        except (Damaged, Malformed, ReplayMismatch) as error:
            if key is None:
                raise
            told = f"{key!r} in {store_url()}: {error}. {_way_out(key)}"
            raise retold(error, told) from error


def _way_out(key: str) -> str:
    store = f"--store {shlex.quote(store_url())} "
    verify = f"perdure {store}{anchor_words()}verify {shlex.quote(key)}"
    return f"How far it goes, and what helps beside a backup or an export: {verify}"


def anchor_words() -> str:
    """What a command that is told needs, to be asked of the same anchor."""
    anchor = settings().anchor
    return f"--anchor {shlex.quote(anchor)} " if anchor is not None else ""


@contextmanager
def another_key(command: str) -> Iterator[None]:
    """Tell how to choose another key where a state has the one that was to be given."""
    try:
        yield
    except StateExists as error:
        raise StateExists(f"{error}; choose another key: perdure {command}") from error


LABEL, TIME = "label:", "time:"
"""What a label or a time begins with where a checkpoint is named: neither is ever guessed."""

REF_FORMS = {
    "17": "checkpoint 17 of the branch, `main` unless `--branch` names another",
    "what-if@17": "checkpoint 17 of the branch `what-if`",
    "what-if": "its newest checkpoint",
    "9f2c41": "the checkpoint whose id is, or begins with, these hex digits (4 or more)",
    "~3": "three before the newest; after any of the above, three before that: `what-if~3`",
    "label:TEXT": "the newest checkpoint of the branch with this label",
    "time:2026-11-03T09:00": "the newest one saved by then; UTC, unless it ends in an offset "
    "such as `+01:00`",
    "what-if@label:TEXT": "the newest checkpoint of `what-if` with this label; so too for a time",
}
"""How a command is told of a checkpoint, and what that means."""


def reference(text: str) -> Ref:
    """A checkpoint as given on the command line.

    Digits alone are a number, unless there are as many as in a whole id.

    Raises:
        click.UsageError: what follows `time:` is no time.

    Example:
        >>> reference("17"), reference("what-if~3"), reference("label:before refund")
        (17, 'what-if~3', Label(text='before refund', branch=None))
    """
    from perdure.core.refs import label, time

    branch, at, rest = text.partition("@")
    if not at or not branch or text.startswith((LABEL, TIME)):
        branch, rest = "", text
    if rest.startswith(LABEL):
        return label(rest.removeprefix(LABEL), branch=branch or None)
    if rest.startswith(TIME):
        return time(_moment(rest.removeprefix(TIME)), branch=branch or None)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text


def _moment(text: str) -> datetime:
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"{text!r} is no time: give one as in time:2026-11-03T09:00 or time:2026-11-03"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def reference_on(store: Store, key: str, branch: str | None, text: str | None) -> Ref:
    """A checkpoint as given on the command line, as seen from a branch; its newest if none is.

    Raises:
        BranchNotFound: there is no such branch.
        CheckpointNotFound: there is none with this label, or so old, on the branch.
    """
    if branch is None or branch == MAIN:
        return MAIN if text is None else reference(text)
    from msgspec.structs import replace

    # By itself, a name that no branch has could be the beginning of an id.
    newest = store.history(key, branch=branch, limit=1)[0].number
    ref = "~0" if text is None else reference(text)
    if isinstance(ref, int):
        return f"{branch}@{ref}"
    if isinstance(ref, str):
        return f"{branch}@{newest}{ref}" if ref.startswith("~") else ref
    return replace(ref, branch=ref.branch or branch)
