"""What is taken for a secret: all that the library's patterns find, and all of each."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.errors import UsageError
from perdure.secrets import detector as module
from perdure.secrets.detector import Detector
from perdure.secrets.policy import Secrets, checked

A, HEX = "aB3" * 30, "0123456789abcdef" * 8
"""Letters of which no secret is made."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "Anthropic API Key": (f"sk-ant-api03-{A[:60]}",),
    "Artifactory Credentials": (f" AKC{A[:40]} ",),
    "AWS Access Key": (f"AKIA{'Q7' * 8}", f'aws_secret_access_key = "{A[:40]}"'),
    "Azure Storage Account access key": (f"AccountKey={A[:86]}==",),
    "Basic Auth Credentials": ("postgres://bob:h0ntersecond@db.example/x",),
    "Cloudant Credentials": (f'cloudant_password = "{HEX[:64]}"',),
    "Discord Bot Token": (f"M{A[:24]}.{A[:6]}.{A[:27]}",),
    "GitHub Token": (f"ghp_{A[:36]}", f"github_pat_{A[:22]}_{A[:59]}"),
    "GitLab Token": (f"glpat-{A[:20]}",),
    "Google API Key": (f"AIza{A[:35]}",),
    "Hugging Face Token": (f"hf_{A[:34]}",),
    "IBM Cloud IAM Key": (f'ibm_api_key: "{A[:44]}"',),
    "IBM COS HMAC Credentials": (f'cos_hmac_secret_access_key = "{HEX[:48]}"',),
    "JSON Web Token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ",),
    "Mailchimp Access Key": (f"{HEX[:32]}-us12",),
    "NPM tokens": (f"//registry.example/:_authToken=npm_{A[:36]}",),
    "OpenAI Token": (f"sk-{A[:20]}T3BlbkFJ{A[:20]}", f"sk-proj-{A[:60]}"),
    "Private Key": (
        f"-----BEGIN EC PRIVATE KEY-----\n{A[:64]}\n{A[:9]}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\\n{A[:64]}\\n{A[:64]}",
        f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 1\n{A[:64]}\nPrivate-MAC: {HEX[:40]}",
    ),
    "PyPI Token": (f"pypi-AgEIcHlwaS5vcmc{A[:80]}",),
    "SendGrid API Key": (f"SG.{A[:22]}.{A[:43]}",),
    "Slack Token": (
        "xoxb-123456789012-123456789012-abcdefghijkl",
        f"https://hooks.slack.com/services/T{A[:9]}/B{A[:9]}/{A[:24]}",
    ),
    "SoftLayer Credentials": (f'softlayer_api_key = "{HEX[:64]}"',),
    "Square OAuth Secret": (f"sq0csp-{A[:43]}",),
    "Stripe Access Key": (f"sk_live_{A[:24]}",),
    "Telegram Bot Token": (f"123456789:{A[:35]}",),
    "Twilio API Key": (f"SK{HEX[:32]}",),
}
CASES = [(kind, text) for kind, texts in EXAMPLES.items() for text in texts]

PROSE = """
The order 1234 was delivered to Alice at 12 Long Street. The key is under the mat; my password is a
secret, and the token went to the machine. Visit https://example.org:8080/a?b=c@d, or write to
ann@example.org. Task-force, risk-averse, desk-based; skill, AC power, SK hynix. A key file starts
with BEGIN and then says what it is.
"""
DATA = """
{"status": "ok", "id": "a81bc81b-dead-4e5d-abff-90865d1e13b1", "ip": "8.8.8.8", "hash":
"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
"""
EVERYDAY = (
    PROSE,
    DATA,
    "commit 3f786850e387550fdab836ed7e6dc881de23001b\nAuthor: Ann <ann@example.org>\n",
    "def main(argv: list[str]) -> int:\n    return run(argv, key=lambda each: each.token)\n",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "APPLICATION STATUS: APPROVED. eyJhbGciOiJub3QuanNvbg.e30 is no token.",
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(Secrets())


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_each_kind_is_found_and_masked_whole(detector: Detector, kind: str, text: str) -> None:
    around = f"It is: {text}\nand so on."
    assert kind in {each for _, _, each in detector.spans(around)}
    masked = detector.masked(around)
    assert masked.startswith("It is:")
    assert masked.endswith("so on.")
    assert f"[masked: {kind}]" in masked
    secret = max(re.findall(r"[A-Za-z0-9+/=]+", text), key=len)
    rest = {secret[at : at + 6] for at in range(len(secret) - 5)}
    left = masked.replace(f"[masked: {kind}]", "")
    assert not [part for part in rest if part in left]
    assert detector.spans(masked) == []


def test_every_kind_of_the_library_has_an_example(detector: Detector) -> None:
    known = {each.kind for each in detector._known}
    assert known <= set(EXAMPLES), "give an example of what the library knows by now"
    assert len(known) >= 26


@pytest.mark.parametrize("text", EVERYDAY)
def test_everyday_texts_hold_none(detector: Detector, text: str) -> None:
    assert detector.spans(text) == []
    assert detector.masked(text) == text


def patterns() -> Iterator[tuple[str, Any]]:
    for name, cls in module._plugins().items():
        if name in module._GATES:
            for each in cls().denylist:
                yield name, each


@pytest.mark.parametrize(("name", "pattern"), [*patterns()])
def test_no_gate_keeps_a_secret_out(name: str, pattern: re.Pattern[str]) -> None:
    run, literals = module._GATES[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.from_regex(pattern, alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
    def check(text: str) -> None:
        small = text.lower()
        if pattern.search(text) is None:
            return
        assert any(each in small for each in literals.split()), text
        assert max(map(len, small.split()), default=0) >= run, text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check()


def test_several_in_one_text(detector: Detector) -> None:
    one, other = f"AKIA{'Q7' * 8}", f"ghp_{A[:36]}"
    text = f"{one} {other} {one}"
    assert detector.masked(text) == (
        "[masked: AWS Access Key] [masked: GitHub Token] [masked: AWS Access Key]"
    )


def test_what_a_pattern_finds_the_beginning_of_is_masked_to_its_end(detector: Detector) -> None:
    assert detector.masked(f"ghp_{A[:70]}-{A[:9]}, so") == "[masked: GitHub Token], so"
    assert detector.masked(f"AKIA{'Q7' * 12}. So") == "[masked: AWS Access Key]. So"


def test_patterns_of_the_users() -> None:
    policy = Secrets(patterns={"Order Token": r"ot_[a-z]{4}"}, allow=("AKIAIOSFODNN7EXAMPLE",))
    detector = Detector(policy)
    assert detector.masked("x ot_abcd y") == "x [masked: Order Token] y"
    assert detector.masked("AKIAIOSFODNN7EXAMPLE") == "AKIAIOSFODNN7EXAMPLE"
    assert detector.masked("ot_") == "ot_"
    alone = Detector(Secrets(builtin=False, patterns={"Order Token": "ot_[a-z]{4}"}))
    assert alone.spans(f"AKIA{'Q7' * 8}") == []


def test_further_plugins() -> None:
    text = 'password = "correct horse battery"'
    assert Detector(Secrets()).spans(text) == []
    detector = Detector(Secrets(plugins=("KeywordDetector",)))
    assert detector.masked(text) == 'password = "[masked: Secret Keyword]"'
    with pytest.raises(UsageError, match="no plugin 'Nope'"):
        Detector(Secrets(plugins=("Nope",)))


@pytest.mark.parametrize(
    "given",
    [
        *("shred", 7, True, Secrets(action="shred")),  # type: ignore[arg-type]
        *(Secrets(patterns={"x": "("}), Secrets(patterns={"x": "a*"}), Secrets(allow=("(",))),
        *(Secrets(allow="abc"), Secrets(plugins="abc"), Secrets(patterns=["a"])),  # type: ignore[arg-type]
    ],
)
def test_policies_that_are_none(given: Any) -> None:
    with pytest.raises(UsageError):
        checked(given)


def test_the_library_is_asked_for_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.secrets.policy.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'perdure\[secrets\]'"):
        checked("mask")
    assert checked(Secrets(builtin=False, patterns={"x": "abc"})) is not None


@given(st.text(max_size=200))
def test_masking_never_fails_and_is_done_once(text: str) -> None:
    detector = Detector(Secrets())
    masked = detector.masked(text)
    assert detector.masked(masked) == masked
