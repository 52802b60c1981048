"""What of a text is a secret: by the plugins of detect-secrets, and by patterns.

Only their patterns are used: nothing is verified over the network, no file is read. A pattern may
find the beginning of a secret alone; what is told is the whole of it, so that masking leaves no
rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeAlias

import msgspec

from perdure.errors import UsageError
from perdure.secrets.policy import Secrets, compiled

Span: TypeAlias = tuple[int, int, str]
"""Where in a text a secret begins and ends, and its kind."""

Finding: TypeAlias = Callable[[str], Iterator[tuple[int, int]]]
"""Says where in a text something is."""

SHORTEST = 8
"""No secret that is known by its form is shorter (characters)."""

OURS = {
    "Anthropic API Key": (r"sk-ant-[A-Za-z0-9_-]{20,}", "sk-ant-"),
    "OpenAI Token": (r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}", "sk-"),
    "GitHub Token": (r"github_pat_[A-Za-z0-9_]{22,}", "github_pat_"),
    "Google API Key": (r"AIza[A-Za-z0-9_-]{35}", "aiza"),
    "Hugging Face Token": (r"hf_[A-Za-z0-9]{30,}", "hf_"),
    "Private Key": (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY", "private key"),
}
"""What the library does not know yet; with a text that each has, in small letters."""

NOT_USED = frozenset(("IPPublicDetector",))
"""What it knows by a pattern, and what is no secret."""
BY_GROUP = frozenset(
    (
        *("AWSKeyDetector", "BasicAuthDetector", "CloudantDetector", "IbmCloudIamDetector"),
        *("IbmCosHmacDetector", "SoftlayerDetector"),
    )
)
"""Plugins whose patterns tell in their group which part of what they find is the secret."""

_GATES: dict[str, tuple[int, str]] = {
    "ArtifactoryDetector": (10, "akc ap"),
    "AWSKeyDetector": (16, "a3t abia acca akia asia aws"),
    "AzureStorageKeyDetector": (80, "accountkey="),
    "BasicAuthDetector": (0, "://"),
    "CloudantDetector": (24, "cloudant clou cl_ cl- clapi clkey clp clt"),
    "DiscordBotTokenDetector": (56, "."),
    "GitHubTokenDetector": (40, "ghp_ gho_ ghu_ ghs_ ghr_"),
    "GitLabTokenDetector": (25, "glpat gldt glft glsoat glrt gr1348 glcbt glimt glptt glag gloas"),
    "IbmCloudIamDetector": (44, "key pw pass token"),
    "IbmCosHmacDetector": (48, "secret"),
    "JwtTokenDetector": (0, "eyj"),
    "MailchimpDetector": (35, "-us"),
    "NpmDetector": (0, ":_authtoken"),
    "OpenAIDetector": (43, "sk-"),
    "PrivateKeyDetector": (0, "begin putty-user-key"),
    "PypiTokenDetector": (70, "pypi-"),
    "SendGridDetector": (69, "sg."),
    "SlackDetector": (0, "xox hooks.slack.com"),
    "SoftlayerDetector": (64, "softlayer sl_ sl- slapi slkey slp slt"),
    "SquareOAuthDetector": (43, "sq0csp-"),
    "StripeDetector": (24, "k_live_"),
    "TelegramBotTokenDetector": (44, ":"),
    "TwilioKeyDetector": (34, "ac sk"),
}
"""By plugin, what a text has that holds such a secret: a run without a space of at least so many
characters, and one of these texts, in small letters. A plugin that is not here always works."""

_WORD = re.compile(r"[A-Za-z0-9_-]*")
_JWT = re.compile(r"[A-Za-z0-9_.=+/-]*")
_GAP = r"(?:\s|\\[nr])*"
_BLOCK = re.compile(
    r"-*BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?"
    r"(?:(?:(?!BEGIN ).)*?END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-*"
    rf"|-*(?:{_GAP}[A-Za-z0-9+/=]{{20,}})*(?:{_GAP}[A-Za-z0-9+/=]+\s*\Z)?)"
    r"|PuTTY-User-Key-File-\d.*?(?:Private-MAC: *[0-9a-f]*|\Z)",
    re.DOTALL,
)
"""A key between two lines; as much as looks like one, if it does not end."""
_MARKER = re.compile(r"\[masked: [^\[\]]*\]")


class Finder(msgspec.Struct, frozen=True):
    """One way of finding secrets of a kind."""

    kind: str
    patterns: tuple[Finding, ...]
    run: int = 0
    """The text has a run without a space of at least so many characters."""
    literals: tuple[str, ...] = ()
    """Of which it has one; none: it may have any."""

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such secrets are."""
        for each in self.patterns:
            yield from each(text)


class Detector:
    """Finds what one policy takes for secrets.

    Example:
        >>> Detector(Secrets()).spans("the key is AKIAQYLPMN5HHHFPZAM2.")
        [(11, 31, 'AWS Access Key')]
    """

    def __init__(self, policy: Secrets) -> None:
        self._allow = [compiled(each) for each in policy.allow]
        self._users = [
            Finder(kind, (_whole(compiled(each)),)) for kind, each in policy.patterns.items()
        ]
        self._known = [*_builtin()] if policy.builtin else []
        self._known += [_plugin(name) for name in policy.plugins]

    def spans(self, text: str) -> list[Span]:
        """Where secrets are, in order; none overlaps another."""
        found = [(*span, each.kind) for each in self._at_work(text) for span in each.find(text)]
        return _apart([span for span in found if not self._is_allowed(text, span)]) if found else []

    def is_suspect(self, text: str) -> bool:
        """Whether there is any secret in several texts together, but for those of the user's."""
        return any(True for each in self._at_work(text, users=False) for _ in each.find(text))

    @property
    def has_own(self) -> bool:
        """Whether the user gave patterns, which are tried on each text by itself."""
        return bool(self._users)

    def masked(self, text: str) -> str:
        """The text with a marker in place of each secret."""
        for begin, end, kind in reversed(self.spans(text)):
            text = f"{text[:begin]}[masked: {kind}]{text[end:]}"
        return text

    def _at_work(self, text: str, *, users: bool = True) -> Iterator[Finder]:
        """The finders that may find something."""
        if users:
            yield from self._users
        if len(text) < SHORTEST or not self._known:
            return
        small = text.lower()
        run = max(map(len, small.split()), default=0)
        for each in self._known:
            if run < each.run:
                continue
            for literal in each.literals:
                if literal in small:
                    yield each
                    break
            else:
                if not each.literals:
                    yield each

    def _is_allowed(self, text: str, span: Span) -> bool:
        told = text[span[0] : span[1]]
        if _MARKER.fullmatch(told):
            return True
        return any(each.fullmatch(told) for each in self._allow)


def _apart(spans: list[Span]) -> list[Span]:
    """Spans of which none overlaps another; those that do are one, of the first one's kind."""
    apart: list[Span] = []
    for begin, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if apart and begin < apart[-1][1]:
            first = apart.pop()
            begin, end, kind = first[0], max(first[1], end), first[2]
        apart.append((begin, end, kind))
    return apart


@cache
def _builtin() -> tuple[Finder, ...]:
    """The finders of all plugins that work by patterns, and ours."""
    from detect_secrets.plugins.base import RegexBasedDetector

    found = [
        Finder(kind, (_finding(kind, re.compile(each), ""),), 0, (literal,))
        for kind, (each, literal) in OURS.items()
    ]
    for name, cls in _plugins().items():
        if issubclass(cls, RegexBasedDetector) and name not in NOT_USED:
            plugin = cls()
            kind, (run, literals) = plugin.secret_type, _GATES.get(name, (0, ""))
            patterns = tuple([_finding(kind, each, name) for each in plugin.denylist])
            found.append(Finder(kind, patterns, run, tuple(literals.split())))
    return tuple(found)


@cache
def _plugins() -> dict[str, Any]:
    """The plugins of the library, by class."""
    import detect_secrets.plugins as home
    from detect_secrets.plugins.base import BasePlugin

    found: dict[str, Any] = {}
    for module in iter_modules(home.__path__):
        for name, each in vars(import_module(f"{home.__name__}.{module.name}")).items():
            is_plugin = isinstance(each, type) and issubclass(each, BasePlugin)
            if is_plugin and not each.__abstractmethods__:
                found[name] = each
    return found


def _plugin(name: str) -> Finder:
    """A plugin that the user asked for, by what it says is a secret.

    Raises:
        UsageError: the library has none of this name.
    """
    cls = _plugins().get(name)
    if cls is None:
        raise UsageError(f"detect-secrets has no plugin {name!r}; it has {', '.join(_plugins())}")
    plugin = cls()

    def find(text: str) -> Iterator[tuple[int, int]]:
        for line in text.splitlines():
            for secret in {*plugin.analyze_string(line)} - {""}:
                yield from ((at.start(), at.end()) for at in re.finditer(re.escape(secret), text))

    return Finder(plugin.secret_type, (find,))


def _finding(kind: str, pattern: re.Pattern[str], plugin: str) -> Finding:
    """A pattern, and how far what it finds goes on."""
    if kind == "Private Key":
        return _block(pattern)
    if plugin == "JwtTokenDetector":
        return _token(pattern)
    if plugin in BY_GROUP and pattern.groups:
        return _grouped(pattern)
    return _whole(pattern, _WORD)


def _whole(pattern: re.Pattern[str], rest: re.Pattern[str] | None = None) -> Finding:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for each in pattern.finditer(text):
            if each.end() > each.start():
                more = rest.match(text, each.end()) if rest is not None else None
                yield each.start(), more.end() if more is not None else each.end()

    return find


def _grouped(pattern: re.Pattern[str]) -> Finding:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for each in pattern.finditer(text):
            yield each.span(1) if each[1] else each.span()

    return find


def _block(pattern: re.Pattern[str]) -> Finding:
    """Of a key that begins and ends with a line, all of it; to the end, if it does not end."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        if pattern.search(text) is None:
            return
        blocks = [each.span() for each in _BLOCK.finditer(text)]
        yield from blocks or [each.span() for each in pattern.finditer(text)]

    return find


def _token(pattern: re.Pattern[str]) -> Finding:
    """Of what looks like a signed token, those that are, with their signature."""
    valid = _plugins()["JwtTokenDetector"].is_formally_valid

    def find(text: str) -> Iterator[tuple[int, int]]:
        for each in pattern.finditer(text):
            more = _JWT.match(text, each.start())
            whole = more[0].rstrip(".") if more is not None else each[0]
            if valid(each[0]) or valid(whole):
                yield each.start(), each.start() + len(whole)

    return find
