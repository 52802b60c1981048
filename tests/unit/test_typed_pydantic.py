"""Typed states of pydantic models: what only pydantic knows, limits, and what is refused."""

from __future__ import annotations

import pathlib
from collections import deque
from ipaddress import IPv4Address
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pydantic
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl
from pydantic_core import core_schema

import perdure
from perdure.core.changes import Set, Splice
from perdure.errors import BadStored, NotStorable, UsageError, WrongType
from perdure.schemas.annotations import kind_of
from perdure.state import Document, TrackedList
from perdure.state.typed import install, typed_state

T = TypeVar("T")


class Item(BaseModel):
    name: str = Field(min_length=2)
    low: int = 0
    high: int = 10
    items: list[Item] = []

    @pydantic.field_validator("name")
    @classmethod
    def is_lower(cls, name: str) -> str:
        if not name.islower():
            raise ValueError("a name is lower case")
        return name

    @pydantic.model_validator(mode="after")
    def is_ordered(self) -> Item:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self

    @pydantic.computed_field
    def width(self) -> int:
        return self.high - self.low


def _is_local(address: IPv4Address) -> IPv4Address:
    if not address.is_private:
        raise ValueError("an address here is private")
    return address


class Links(BaseModel):
    urls: list[HttpUrl] = []
    hosts: dict[str, IPv4Address] = {}
    path: pathlib.Path | None = None
    pair: tuple[HttpUrl, int] | None = None
    seen: set[IPv4Address] = set()
    words: list[Annotated[str, Field(min_length=2)]] = []
    even: Annotated[int, AfterValidator(lambda each: each * 1)] = 2
    items: list[Item] = []
    by: dict[str, Item] = {}
    best: Item | None = None
    local: Annotated[IPv4Address, AfterValidator(_is_local)] | None = None


class Box(BaseModel, Generic[T]):
    content: T
    more: list[T] = []


class Boxes(BaseModel):
    item: Box[Item]
    number: Box[int]


class Still(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str


class Stills(BaseModel):
    one: Still
    many: list[Still] = []


@pydantic.dataclasses.dataclass
class Checked:
    size: int = Field(ge=1)
    tags: list[str] = Field(default_factory=list)


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)


def test_each_leaf_that_pydantic_knows_is_edited_in_place() -> None:
    document, state = opened(Links, urls=[], hosts={}, seen=set())
    state.urls.append("https://a.org/x")
    state.urls.extend([HttpUrl("https://b.org/")])
    state.hosts["a"] = IPv4Address("1.2.3.4")
    state.path = pathlib.Path("/tmp/x")
    state.pair = (HttpUrl("https://c.org/"), 1)
    state.seen.add(IPv4Address("1.1.1.1"))
    assert document.plain() == {
        "urls": ["https://a.org/x", "https://b.org/"],
        "hosts": {"a": "1.2.3.4"},
        "seen": {"1.1.1.1"},
        "path": "/tmp/x",
        "pair": ("https://c.org/", 1),
    }
    assert state.urls[0] == HttpUrl("https://a.org/x") and state.path == pathlib.Path("/tmp/x")
    assert state.hosts == {"a": IPv4Address("1.2.3.4")} and state.pair[0].host == "c.org"
    assert state.seen == {IPv4Address("1.1.1.1")}
    document.capture()
    state.urls.pop()
    assert document.capture() == [Splice(("urls",), 1, 1, [])]


def test_a_bad_leaf_is_refused_and_reported_with_its_path() -> None:
    document, state = opened(Links, urls=["https://a.org/"], hosts={"a": "nowhere"}, path=3)
    before = document.plain()
    with pytest.raises(WrongType) as refused:
        state.urls.append("no url")
    assert refused.value.path == ("urls", 1)
    with pytest.raises(BadStored) as reported:
        _ = state.hosts["a"]
    assert reported.value.path == ("hosts", "a")
    with pytest.raises(BadStored):
        _ = state.path
    assert document.plain() == before and document.capture() == []


def test_a_validator_of_a_leaf_that_pydantic_knows_is_asked() -> None:
    document, state = opened(Links)
    state.local = "10.0.0.1"
    assert state.local == IPv4Address("10.0.0.1")
    with pytest.raises(WrongType):
        state.local = IPv4Address("8.8.8.8")
    with pytest.raises(WrongType):
        document.state["local"] = "8.8.8.8"
    assert document.plain() == {"local": "10.0.0.1"}


def test_limits_of_items_are_checked_at_each_edit() -> None:
    document, state = opened(Links, words=["ab"])
    with pytest.raises(WrongType) as refused:
        state.words.append("c")
    assert refused.value.path == ("words", 1)
    with pytest.raises(WrongType):
        document.state["words"][0] = "c"
    assert document.capture() == []


ITEMS: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"name": "x"}, ("name",), "at least 2"),
    ({"name": "Xyz"}, ("name",), "lower case"),
    ({"name": "xyz", "low": 11}, (), "low is over high"),
    ({"name": "xyz", "items": [{"name": "Bad"}]}, ("items", 0, "name"), "lower case"),
    ({"low": 1}, ("name",), "required"),
    ({"name": "xyz", "low": "1"}, ("low",), "expected int"),
]


@pytest.mark.parametrize(("item", "path", "said"), ITEMS, ids=map(str, range(len(ITEMS))))
def test_a_dict_is_validated_by_the_model_of_its_place(
    item: dict[str, Any], path: Any, said: str
) -> None:
    document, state = opened(Links, items=[{"name": "first"}], by={})
    before = document.plain()
    with pytest.raises(WrongType, match=said) as refused:
        state.items.append(item)
    assert refused.value.path == ("items", 1, *path)
    with pytest.raises(WrongType):
        state.by.update(k=item)
    with pytest.raises(WrongType):
        document.state["items"].insert(0, item)
    with pytest.raises(WrongType):
        document.state["best"] = item
    assert document.plain() == before and document.capture() == []


def test_a_dict_keeps_the_fields_that_its_model_does_not_know() -> None:
    document, state = opened(Links, items=[])
    state.items.append({"name": "xyz", "new": 1, "items": [{"name": "abc", "newer": 2}]})
    assert document.plain()["items"] == [
        {"name": "xyz", "new": 1, "items": [{"name": "abc", "newer": 2}]}
    ]
    assert state.items[0].width == 10


def test_one_bad_field_does_not_keep_the_others_from_being_mended() -> None:
    document, state = opened(Links, items=[{"name": 3, "low": "x", "high": 4}])
    item = state.items[0]
    item.high = 5
    item.name = "abc"
    item.low = 1
    assert document.plain()["items"] == [{"name": "abc", "low": 1, "high": 5}]
    with pytest.raises(WrongType, match="low is over high"):
        item.low = 6


def test_generic_models_have_the_types_they_are_given() -> None:
    document, state = opened(Boxes)
    state.item = Box[Item](content=Item(name="abc"))
    state.number = Box[int](content=3)
    assert isinstance(state.item.content, Item) and state.number.content == 3
    state.item.more.append(Item(name="new"))
    with pytest.raises(WrongType):
        state.number.more.append("x")
    assert document.plain()["item"]["more"] == [{"name": "new", "low": 0, "high": 10, "items": []}]


def test_a_frozen_model_refuses_its_fields_and_is_replaced_whole() -> None:
    document, state = opened(Stills, one={"name": "a", "new": 1})
    with pytest.raises(WrongType, match="frozen") as refused:
        state.one.name = "b"
    assert refused.value.path == ("one", "name")
    assert document.capture() == []
    state.one = Still(name="b")
    state.many.append(Still(name="c"))
    assert document.plain() == {"one": {"name": "b", "new": 1}, "many": [{"name": "c"}]}
    assert hash(perdure.materialize(state.one)) == hash(Still(name="b"))


def test_a_dataclass_of_pydantic_is_checked_too() -> None:
    document, state = opened(Checked, size=1)
    state.tags.append("a")
    with pytest.raises(WrongType):
        state.size = 0
    assert document.plain() == {"size": 1, "tags": ["a"]}
    assert type(state.tags) is TrackedList
    assert perdure.materialize(state) == Checked(size=1, tags=["a"])


def _fields(hint: Any, default: Any = ...) -> Any:
    return pydantic.create_model("Model", x=(hint, default))


REFUSED: list[tuple[Any, str]] = [
    (pydantic.SecretStr, "keep secrets out"),
    (list[pydantic.SecretStr], "keep secrets out"),
    (dict[str, pydantic.SecretBytes | None], "keep secrets out"),
    (pydantic.Secret[int], "keep secrets out"),
    (pydantic.ImportString, "never imported"),
    (list[pydantic.ImportString[Any]], "never imported"),
    (pydantic.Json, "what the text holds"),
    (pydantic.Json[list[int]], "what the text holds"),
    (deque[int], "edits of it would be lost"),
    (deque, "edits of it would be lost"),
    (dict[int, str], "keys are str"),
    (list[dict[int, HttpUrl]], "keys are str"),
    (set[Item], "use a list"),
    (Annotated[list[int], Field(max_length=3)], "limit the items"),
    (Annotated[dict[str, Item], Field(min_length=1)], "limit the items"),
    (list[Annotated[list[int], Field(max_length=3)]], "limit the items"),
    (Annotated[list[int], msgspec.Meta(max_length=3)], "limit the items"),
]


@pytest.mark.parametrize(("hint", "said"), REFUSED, ids=[str(hint) for hint, _ in REFUSED])
def test_what_edits_would_be_lost_of_is_refused_with_a_way_out(hint: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        kind_of(_fields(hint))
    assert "Model.x" in str(refused.value)


def test_a_limit_of_a_list_in_a_struct_is_refused() -> None:
    meta = Annotated[list[int], msgspec.Meta(min_length=1)]
    with pytest.raises(UsageError, match=r"Model\.x.*limit the items"):
        kind_of(msgspec.defstruct("Model", [("x", meta)]))
    described = Annotated[list[int], msgspec.Meta(description="numbers")]
    kind_of(msgspec.defstruct("Model", [("x", described)]))
    kind_of(_fields(Annotated[list[int], Field(description="numbers")]))


def test_a_default_made_of_other_fields_is_refused() -> None:
    model = pydantic.create_model(
        "Model", x=(int, 1), y=(int, Field(default_factory=lambda data: data["x"]))
    )
    with pytest.raises(UsageError, match=r"Model\.y"):
        kind_of(model)


def test_the_changed_field_alone_is_written() -> None:
    document, state = opened(Links, items=[{"name": "abc", "new": [1]}])
    state.items[0].low = 3
    assert document.capture() == [Set(("items", 0, "low"), 3)]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Pets(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    best: Cat | Dog | None = Field(default=None, discriminator="kind")


def test_models_are_told_apart_by_their_discriminator() -> None:
    document, state = opened(Pets)
    state.pets.append(Dog(name="rex"))
    state.pets.append({"kind": "cat", "name": "tom"})
    state.best = Dog(name="ace")
    assert [type(perdure.materialize(pet)) for pet in state.pets] == [Dog, Cat]
    assert isinstance(state.best, Dog) and state.best == Dog(name="ace")
    with pytest.raises(WrongType):
        state.pets.append({"kind": "cow", "name": "x"})
    assert len(document.plain()["pets"]) == 2


class Pair:
    """A class that tells pydantic to store it as a dict."""

    def __init__(self, x: int) -> None:
        self.x = x

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(**value),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda pair: {"x": pair.x}
            ),
        )


def test_what_pydantic_would_store_as_a_container_is_no_leaf() -> None:
    cls = _fields(Pair)
    document, state = opened(cls)
    with pytest.raises(NotStorable):
        state.x = Pair(1)
    assert document.capture() == []
    document.apply([Set(("x",), {"x": 1})])
    with pytest.raises(BadStored):
        _ = state.x
