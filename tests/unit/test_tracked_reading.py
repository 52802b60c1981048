"""Every Python way of reading gives tracked children; `plain` and pickle give plain copies."""

import copy
import itertools
import json
import operator
import pickle
from collections import ChainMap, deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import orjson
import pydantic
import pytest

from perdure.core.changes import Set, Splice
from perdure.state import Document, State, TrackedDict, TrackedList, TrackedSet

LIST: list[Any] = [{"n": 0}, [1], {2}, ({"n": 3}, [4])]
EMPTY: list[Any] = []
DICT: dict[str, Any] = {"a": {"n": 0}, "b": [1], "c": {2}, "d": ({"n": 3}, [4])}


def opened(content: Any) -> tuple[Document, Any]:
    """A document as it is loaded, and its one section."""
    document = Document({"section": copy.deepcopy(content)})
    return document, document.state["section"]


def match_list(node: Any) -> Iterable[Any]:
    match node:
        case [first, second, *rest]:
            return [first, second, *rest]
    raise AssertionError


def match_dict(node: Any) -> Iterable[Any]:
    match node:
        case {"a": a, "b": b, **rest}:
            return [a, b, *rest.values()]
    raise AssertionError


def unpack(node: Any) -> Iterable[Any]:
    first, *rest = node
    return [first, *rest]


def extend_plain(node: Any) -> Iterable[Any]:
    plain: list[Any] = []
    alias = plain
    plain += node
    assert alias is plain
    return alias


def assign_slice(node: Any) -> Iterable[Any]:
    plain = [0]
    plain[:] = node
    return plain


def update_plain(node: Any) -> Iterable[Any]:
    plain: dict[str, Any] = {}
    alias = plain
    plain |= node
    assert alias is plain
    return alias.values()


def in_order_of_keys(node: Any) -> Iterable[Any]:
    return [node[key] for key in DICT]


LIST_READS: dict[str, list[Callable[[Any], Iterable[Any]]]] = {
    "__getitem__": [
        lambda node: [node[0], node[1], node[-2], node[-1]],
        lambda node: node[:],
        lambda node: node[:2] + node[2:],
        lambda node: node[::-1][::-1],
        operator.itemgetter(0, 1, 2, 3),
        match_list,
    ],
    "__iter__": [
        list,
        tuple,
        deque,
        unpack,
        extend_plain,
        assign_slice,
        lambda node: [*node],
        lambda node: (lambda *items: items)(*node),
        lambda node: [child for child in node],  # noqa: C416
        lambda node: [child for _, child in enumerate(node)],
        lambda node: [child for child, _ in zip(node, node)],
        lambda node: map(operator.itemgetter(0), zip(node)),
        itertools.chain,
        lambda node: sorted(node, key=lambda child: list(LIST).index(child)),
    ],
    "__reversed__": [lambda node: list(reversed(node))[::-1]],
    "__add__": [lambda node: node + EMPTY, lambda node: node + node[:0]],
    "__radd__": [lambda node: EMPTY + node],
    "__mul__": [lambda node: node * 1],
    "__rmul__": [lambda node: 1 * node],
    "copy": [lambda node: node.copy(), copy.copy],
    "pop": [lambda node: [node.pop(0), node.pop(0), node.pop(-2), node.pop()]],
}

DICT_READS: dict[str, list[Callable[[Any], Iterable[Any]]]] = {
    "__getitem__": [
        in_order_of_keys,
        operator.itemgetter(*DICT),
        lambda node: ChainMap(node).values(),
    ],
    "__iter__": [
        lambda node: [node[key] for key in node],
        lambda node: dict(node).values(),
        lambda node: {**node}.values(),
        lambda node: (lambda **items: items)(**node).values(),
        update_plain,
    ],
    "__reversed__": [lambda node: [node[key] for key in reversed(node)][::-1]],
    "get": [lambda node: [node.get(key) for key in DICT], match_dict],
    "keys": [lambda node: [node.keys().mapping[key] for key in node.keys()]],  # noqa: SIM118
    "values": [lambda node: node.values(), lambda node: list(reversed(node.values()))[::-1]],
    "items": [lambda node: [child for _, child in node.items()]],
    "copy": [lambda node: node.copy().values(), lambda node: copy.copy(node).values()],
    "__or__": [lambda node: (node | {}).values()],
    "__ror__": [lambda node: ({} | node).values()],
    "setdefault": [lambda node: [node.setdefault(key, None) for key in DICT]],
    "pop": [lambda node: [node.pop(key) for key in DICT]],
    "popitem": [lambda node: [node.popitem()[1] for _ in DICT][::-1]],
}

REMOVES = ("pop", "popitem")

WAYS = [
    pytest.param(content, way, name in REMOVES, id=f"{type(content).__name__}.{name}-{index}")
    for content, reads in ((LIST, LIST_READS), (DICT, DICT_READS))
    for name, ways in reads.items()
    for index, way in enumerate(ways)
]


def containers_of(children: Iterable[Any]) -> list[Any]:
    """The containers among children, those in their tuples too."""
    found: list[Any] = []
    for child in children:
        found += child if isinstance(child, tuple) else [child]
    return found


def edit(child: Any) -> None:
    if isinstance(child, dict):
        child["new"] = True
    elif isinstance(child, list):
        child.append("new")
    else:
        child.add("new")


@pytest.mark.parametrize(("content", "way", "removes"), WAYS)
def test_every_way_of_reading_gives_tracked_children(
    content: Any, way: Callable[[Any], Iterable[Any]], removes: bool
) -> None:
    _, section = opened(content)
    children = containers_of(way(section))
    kinds = [TrackedDict, TrackedList, TrackedSet, TrackedDict, TrackedList]
    assert [type(child) for child in children] == kinds


@pytest.mark.parametrize(
    ("content", "way"),
    [pytest.param(*way.values[:2], id=way.id) for way in WAYS if not way.values[2]],
)
def test_an_edit_of_a_child_is_found_however_it_was_read(
    content: Any, way: Callable[[Any], Iterable[Any]]
) -> None:
    for position in range(5):
        document, section = opened(content)
        edit(containers_of(way(section))[position])
        changes = document.pending()
        assert len(changes) == 1
        slot: Any = min(position, 3)
        assert changes[0].path[:2] == ("section", slot if content is LIST else "abcd"[slot])


@pytest.mark.parametrize(
    ("kind", "reads"), [(list, LIST_READS), (dict, DICT_READS)], ids=["list", "dict"]
)
def test_no_method_that_hands_out_children_is_forgotten(
    kind: type, reads: dict[str, list[Any]]
) -> None:
    silent = {  # they hand out no child
        *("__len__", "__contains__", "__delitem__", "__setitem__", "__iadd__", "__imul__"),
        *("__class_getitem__", "__ior__", "append", "clear", "count", "extend", "fromkeys"),
        *("index", "insert", "remove", "reverse", "sort", "update"),
    }
    methods = set(dir(kind)) - set(dir(object))
    assert set(reads) - methods <= {"__radd__"}
    assert methods - set(reads) - silent == set()


def test_views_show_what_comes_later_tracked() -> None:
    document, section = opened(DICT)
    values, items = section.values(), section.items()
    section["e"] = [5]
    document.capture()
    document.apply([Set(("section", "f"), {"n": 6})])
    assert [type(child) for child in list(values)[-2:]] == [TrackedList, TrackedDict]
    assert [type(child) for _, child in list(items)[-2:]] == [TrackedList, TrackedDict]


def plain_below(value: Any) -> list[Any]:
    """The containers in the storage of a node that are not tracked."""
    found: list[Any] = []
    items: Iterable[Any] = ()
    if isinstance(value, dict):
        items = dict.values(value)
    elif isinstance(value, list):
        items = list.__iter__(value)
    elif isinstance(value, tuple):
        items = value
    for item in items:
        found += [item] if type(item) in (dict, list, set) else plain_below(item)
    return found


def test_nothing_below_a_node_is_plain_for_c_code_to_take() -> None:
    """P13: C code takes what is stored, without asking the container."""
    deep = [{"n": [{"m": ({1}, [2])}]}, [[3]]]
    document, section = opened(copy.deepcopy(deep))
    assert plain_below(section) == []
    section.append(copy.deepcopy(deep))
    section[0]["new"] = copy.deepcopy(deep)
    section[1:1] = [copy.deepcopy(deep)]
    document.begin()
    section.clear()
    document.undo()
    document.capture()
    document.apply([Set(("section", 1), copy.deepcopy(deep))])
    assert plain_below(section) == []
    document.replace({"section": [copy.deepcopy(deep)]})
    assert section == [deep]
    assert plain_below(section) == []
    document.state["d"] = {"deep": copy.deepcopy(deep)}
    document.capture()
    document.replace({"d": {"deep": copy.deepcopy(deep)}})
    assert plain_below(document.state["d"]) == []


def test_a_default_is_given_back_as_it_is() -> None:
    _, section = opened(DICT)
    default: list[int] = []
    assert section.get("none", default) is default
    assert section.pop("none", default) is default


@pytest.mark.parametrize("content", [LIST, DICT, {1, "a"}, [], {}, set()])
def test_plain_and_copies_that_leave_the_process_share_nothing(content: Any) -> None:
    document, section = opened(content)
    copies = [
        section.plain(),
        copy.deepcopy(section),
        pickle.loads(pickle.dumps(section)),
        document.plain()["section"],
        document.state.plain()["section"],
        copy.deepcopy(document.state)["section"],
        pickle.loads(pickle.dumps(document.state))["section"],
    ]
    for each in copies:
        assert each == content
        assert not any(type(child).__module__.startswith("perdure") for child in walk(each))
        each.clear()
    assert section == content
    assert document.pending() == []


def walk(value: Any) -> Iterable[Any]:
    yield value
    if isinstance(value, dict | list | tuple | set):
        for child in value.values() if isinstance(value, dict) else value:
            yield from walk(child)


@pytest.mark.parametrize("content", [LIST, DICT, {1}, set(), [], {}])
def test_nodes_look_and_compare_like_plain_containers(content: Any) -> None:
    _, section = opened(content)
    assert isinstance(section, type(content))
    assert section == content
    assert content == section
    assert repr(section) == repr(content)
    assert len(section) == len(content)
    assert bool(section) == bool(content)
    with pytest.raises(TypeError):
        hash(section)


def test_other_libraries_read_nodes_as_they_are() -> None:
    content = {"messages": [{"role": "user", "parts": [1, 2.5, None]}], "n": {}}
    state = Document(copy.deepcopy(content)).state
    messages = state["messages"]
    assert json.loads(json.dumps(dict(state))) == content
    assert orjson.loads(orjson.dumps(messages)) == content["messages"]
    assert msgspec.json.decode(msgspec.json.encode(messages)) == content["messages"]
    assert pydantic.TypeAdapter(list[dict[str, Any]]).validate_python(messages) == messages


class Chat(pydantic.BaseModel):
    messages: list[dict[str, Any]]


C_READERS: dict[str, Callable[[Any], Any]] = {
    "concat": lambda messages: operator.concat([], messages),
    "__add__": lambda messages: list.__add__([], messages),
    "pydantic": lambda messages: pydantic.TypeAdapter(list[Any]).validate_python(messages),
    "model": lambda messages: Chat(messages=messages).messages,
    "msgspec": lambda messages: msgspec.convert(messages, list[Any]),
}


@pytest.mark.parametrize("read", C_READERS.values(), ids=C_READERS)
def test_an_edit_of_a_child_that_c_code_read_is_saved_P13(read: Callable[[Any], Any]) -> None:
    document = Document({"messages": [{"role": "user", "meta": {"tries": [1]}}]})
    read(document.state["messages"])[0]["meta"]["tries"].append(2)
    assert document.capture() == [Splice(("messages", 0, "meta", "tries"), 1, 0, [2])]
    document.state["messages"].append({"meta": {"tries": [3]}})
    document.capture()
    read(document.state["messages"])[1]["meta"]["tries"].append(4)
    assert document.capture() == [Splice(("messages", 1, "meta", "tries"), 1, 0, [4])]


def test_the_state_is_a_mapping_of_its_sections() -> None:
    document = Document({"a": [1], "b": 2})
    state = document.state
    assert isinstance(state, State)
    assert list(state) == ["a", "b"]
    assert list(reversed(state)) == ["b", "a"]
    assert len(state) == 2
    assert "a" in state
    assert "c" not in state
    assert state == {"a": [1], "b": 2}
    assert repr(state) == "State({'a': [1], 'b': 2})"
    assert state.get("c", 3) == 3
    assert type(state["a"]) is TrackedList
    for read in (state.copy(), dict(state), {**state}, state | {}, {} | state, copy.copy(state)):
        assert type(read) is dict
        assert read["a"] is state["a"]
    assert dict(state.items())["a"] is state["a"]
    assert next(iter(state.values())) is state["a"]
    match state:
        case {"a": a, **rest}:
            assert a is state["a"]
            assert rest == {"b": 2}
        case _:
            raise AssertionError
    with pytest.raises(KeyError):
        state["c"]
