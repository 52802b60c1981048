"""What is put comes back as it was, and nothing that is stored is ever run (P12, P13)."""

import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Interrupt, Send
from pydantic import BaseModel
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY, put, values

import perdure
from perdure import errors
from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.coding import CLASSES, Coder

CODER = Coder(JsonPlusSerializer(allowed_msgpack_modules=None))

CALL = {"name": "look", "args": {"deep": [{"x": None}]}, "id": "c1", "type": "tool_call"}

MESSAGES = [
    lc.HumanMessage("hi"),
    lc.HumanMessage([{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}], name="bob"),
    lc.AIMessage("", tool_calls=[CALL], usage_metadata=None, id="a1"),
    lc.AIMessage(
        "x",
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "m", "odd": {1: "int key", "$message": "HumanMessage"}},
    ),
    lc.SystemMessage("be kind", additional_kwargs={"a": (1, 2), "$x": {}}),
    lc.ToolMessage("done", tool_call_id="c1", artifact={"rows": [1, 2]}, status="error"),
    lc.ToolMessage("done", tool_call_id="c1", artifact=Send("node", {"x": 1})),
    lc.ChatMessage(content="hi", role="critic"),
    lc.FunctionMessage(content="hi", name="f"),
    lc.RemoveMessage(id="m1"),
    lc.AIMessageChunk(content="part", chunk_position="last"),
    lc.HumanMessage("with more", extra_field={"of": "mine"}),
]


@dataclass
class Plan:
    steps: list[str]


class Fact(BaseModel):
    text: str
    sure: bool = False


class Color(Enum):
    RED = "red"


VALUES: list[Any] = [
    *(None, True, 1, 2**80, -1.5, "text \ud800", b"\x00\xff", [], {}, (), [(), ((1,),)]),
    *({1, 2}, frozenset({"a"}), datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2)),
    *(timedelta(seconds=1), UUID(int=5), Decimal("1.50"), {"$object": "x", "data": b""}),
    *({1: "a", None: "b"}, {"": {"$pairs": []}}, deque([1]), Path("/tmp"), Send("a", {"b": [1]})),
    *(Interrupt([lc.HumanMessage("hi")]), Interrupt(1, response_schema={"type": "integer"})),
    *(Interrupt({"q": 1}, id="i"), _DeltaSnapshot([lc.HumanMessage("hi")])),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_messages_come_back_whole(message: lc.BaseMessage) -> None:
    before = message.model_copy(deep=True)
    (back,) = CODER.decode(CODER.encode_whole([message]))
    assert type(back) is type(message) and back == message == before
    assert vars(back) == vars(message)
    assert lc.convert_to_messages([back])[0] is back


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_types(value: Any) -> None:
    back = CODER.decode(CODER.encode_whole(value))
    assert type(back) is type(value) and back == value and repr(back) == repr(value)


def test_what_langgraph_puts_into_channels_reads_well() -> None:
    told = [Send("pay", {"order": 17}), (Interrupt("pay?", id="i"),)]
    assert CODER.encode_whole(told) == [
        {"$send": "pay", "arg": {"order": 17}},
        ({"$interrupt": "i", "value": "pay?"},),
    ]


def test_an_object_in_which_something_was_redacted_is_what_stands_there_instead() -> None:
    (key, form), (_, data) = CODER.encode(deque(["the secret", "more"])).items()
    for left in (b"[redacted]", b"[redacted]x", b"[redacted]xyz"):
        stored = {key: form, "data": data.replace(b"the secret", left)}
        is_as_long = left == b"[redacted]"
        expected = deque(["[redacted]", "more"]) if is_as_long else "[redacted]"
        assert CODER.decode([stored, 1]) == [expected, 1]
    cut = data.replace(b"the secret", b"[redacted]")[:-5]
    assert CODER.decode({key: form, "data": cut}) == "[redacted]"


def test_every_message_class_that_is_known_is_made_again() -> None:
    assert {type(each).__name__ for each in MESSAGES} <= set(CLASSES)
    for kind in CLASSES.values():
        made = kind.model_construct(content="x", role="r", name="n", tool_call_id="c", id="i")
        assert type(CODER.decode(CODER.encode(made))) is kind


atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    atoms | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["$message", "$x"]), inner, max_size=4
        )
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=12,
)


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append([value])
    with pytest.raises(errors.NotStorable, match="nested too deep"):
        CODER.encode_whole(value)


@given(plain)
def test_any_plain_value_comes_back_and_shares_nothing(value: Any) -> None:
    stored = CODER.encode_whole(value)
    assert repr(CODER.decode(stored)) == repr(value)


def test_objects_of_classes_that_are_not_allowed_are_refused_at_put_P12(tmp_path: Path) -> None:
    for odd in (Plan(["a"]), [Fact(text="x")], {"deep": (Color.RED,)}):
        with PerdureSaver(tmp_path / "agents.db") as saver:
            with pytest.raises(errors.NotStorable, match="allow"):
                put(saver, thread(), odd)
            assert saver.get_tuple(thread()) is None
    with PerdureSaver(tmp_path / "agents.db", allow=[Plan, Fact, Color]) as saver:
        config = put(saver, thread(), [Plan(["a"]), Fact(text="x"), Color.RED])
        assert values(saver) == {"x": [Plan(["a"]), Fact(text="x"), Color.RED]}
    with PerdureSaver(tmp_path / "agents.db") as saver:
        with pytest.raises(errors.BadStored, match=r"Plan is not made"):
            saver.get_tuple(thread())
        with pytest.raises(errors.NotStorable):
            saver.put_writes(config, [("x", Plan([]))], "task")
        module = Plan.__module__
        wider = saver.with_allowlist([(module, each) for each in ("Plan", "Fact", "Color")])
        assert values(wider) == {"x": [Plan(["a"]), Fact(text="x"), Color.RED]}
        assert wider.store is saver.store


def test_reading_imports_nothing_that_is_named_in_what_is_stored_P12(tmp_path: Path) -> None:
    permissive = JsonPlusSerializer(allowed_msgpack_modules=True)
    with PerdureSaver(tmp_path / "agents.db", serde=permissive) as saver:
        odd = Plan(["a"])
        form, data = permissive.dumps_typed(odd)
        data = data.replace(
            Plan.__module__.encode(),
            b"antigravity"[: len(Plan.__module__)].ljust(len(Plan.__module__), b"x"),
        )
        put(saver, thread(), 1)
        with saver.store.open(KEY) as session:
            session.state["x"] = {"$object": form, "data": data}
    before = set(sys.modules)
    with PerdureSaver(tmp_path / "agents.db") as saver, pytest.raises(errors.BadStored):
        saver.get_tuple(thread())
    assert set(sys.modules) == before
    with PerdureSaver(tmp_path / "agents.db") as saver, saver.store.open(KEY) as session:
        session.state["x"] = {"$object": "pickle", "data": b"cos\nsystem\n(S'false'\ntR."}
    with PerdureSaver(tmp_path / "agents.db") as saver, pytest.raises(NotImplementedError):
        saver.get_tuple(thread())


class Reversing(CipherProtocol):
    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reversing", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


def test_a_serializer_of_ones_own_keeps_every_value_and_each_item_once(tmp_path: Path) -> None:
    serde = EncryptedSerializer(Reversing())
    with PerdureSaver(tmp_path / "agents.db", serde=serde) as saver:
        said: list[Any] = [lc.HumanMessage("confided one", id="1")]
        config = put(saver, thread(), said)
        said = [*said, lc.AIMessage("confided two", id="2")]
        put(saver, config, said)
        saver.put_writes(config, [("x", "confided three")], "task")
        assert values(saver) == {"x": said}
        changes = saver.store.history(KEY, changes=True)[1].changes
        (added,) = [each for each in changes or () if each.path == ("x",)]
        assert isinstance(added, perdure.Splice) and len(added.items) == 1
        (found,) = [each for each in saver.list(config) if each.pending_writes]
        assert found.pending_writes and found.pending_writes[0][2] == "confided three"
    files = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"confided" not in files
