"""Values as JSON and as text for people: nothing lost, nothing that steers a terminal."""

import base64
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.cli.documents import dumps
from perdure.cli.words import ago, bytes_of, kind_of, lines, safe, size_of
from perdure.core.json_forms import FORMS, encode
from perdure.core.values import same

NEW_YEAR = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"ok", {"$bytes": "b2s="}),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**70), {"$int": "-1180591620717411303424"}),
        pytest.param(1 << 20_000, {"$int": hex(1 << 20_000)}, id="a very long int"),
        (float("nan"), {"$float": "nan"}),
        (float("-inf"), {"$float": "-inf"}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (NEW_YEAR, {"$datetime": "2026-01-01T00:00:00+01:00[Europe/Berlin]"}),
        (NEW_YEAR.replace(tzinfo=None), {"$datetime": "2026-01-01T00:00:00"}),
        (date(2026, 1, 1), {"$date": "2026-01-01"}),
        (time(1, 2, tzinfo=UTC), {"$time": "01:02:00+00:00"}),
        (timedelta(days=-1, microseconds=3), {"$timedelta": -86_399_999_997}),
        (UUID(int=5), {"$uuid": "00000000-0000-0000-0000-000000000005"}),
        ((1, (2,)), {"$tuple": [1, {"$tuple": [2]}]}),
        ({"b", "a"}, {"$set": ["a", "b"]}),
        (frozenset({1}), {"$frozenset": [1]}),
        ({"$bytes": "b2s="}, {"$map": [["$bytes", "b2s="]]}),
        ({"$a": 1, "$b": 2}, {"$a": 1, "$b": 2}),
        ({"a": [None, True, "x", -0.0]}, {"a": [None, True, "x", -0.0]}),
    ],
)  # fmt: skip
def test_a_value_is_written_in_its_documented_form(value: Any, written: Any) -> None:
    assert same(encode(value), written)
    if isinstance(written, dict) and len(written) == 1 and next(iter(written)).startswith("$"):
        assert next(iter(written)) in FORMS
    assert same(json.loads(dumps(encode(value))), written)


def decode(value: Any) -> Any:
    """What a reader of docs/cli.md would write, for the forms below."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("$bytes", text)]:
            return base64.b64decode(text)
        case [("$int", text)]:
            return int(text, 0)
        case [("$float", text)]:
            return float(text)
        case [("$tuple", items)]:
            return tuple(map(decode, items))
        case [("$map", pairs)]:
            return {key: decode(item) for key, item in pairs}
    return {key: decode(item) for key, item in value.items()}


texts = st.text(st.characters(exclude_categories=()), max_size=8)
keys = st.one_of(texts, st.sampled_from(sorted(FORMS)))
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        texts,
        st.binary(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(keys, inner, max_size=3),
    ),
)


@given(values)
def test_json_loses_nothing(value: Any) -> None:
    text = dumps(encode(value))
    assert text.isascii()
    assert same(decode(json.loads(text)), value)


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_printed_steers_a_terminal(text: str) -> None:
    for char in safe(text, keep="\n"):
        assert char.isprintable() or char in "\n\u00a0\u200d"
    for line in lines([text] * 20):
        assert safe(line) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 漢字 🙂", "plain ünï 漢字 🙂"),
        ("a\x1b[31mb\r", "a\\x1b[31mb\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert safe(text) == shown


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=364), "364 days ago"),
        (timedelta(days=731), "2 years ago"),
    ],
)
def test_how_long_ago(passed: timedelta, said: str) -> None:
    assert ago(NOW - passed, NOW) == said


def test_sizes_and_kinds() -> None:
    assert [bytes_of(size) for size in (1, 1023, 1536, 5 << 20, 3 << 50)] == [
        "1 byte", "1,023 bytes", "1.5 KiB", "5.0 MiB", "3072.0 TiB",
    ]  # fmt: skip
    assert [size_of(value) for value in ({"a": 1}, [1, 2], "abc", b"a", 7)] == [
        "1 key", "2 items", "3 characters", "1 byte", "",
    ]  # fmt: skip
    assert [kind_of(None), kind_of({})] == ["None", "dict"]


def test_a_value_in_full_leaves_nothing_out() -> None:
    long = "x" * 300
    shown = list(lines({"a": {"deep": [long, 1 << 20_000]}, "b": 1}))
    assert shown == [
        "dict, 2 keys:",
        "  'a': dict, 1 key:",
        "    'deep': list, 2 items:",
        f"      0: {long!r}",
        f"      1: {hex(1 << 20_000)}",
        "  'b': 1",
    ]
