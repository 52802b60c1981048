"""The paths that errors name, of defaults that are not stored yet as of what is."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

import perdure
from perdure.errors import WrongType


@dataclass
class Address:
    city: str = ""


@dataclass
class Customer:
    email: str | None = None
    address: Address = field(default_factory=Address)
    notes: list[Address] = field(default_factory=list)


@dataclass
class Plain:
    customer: Customer = field(default_factory=Customer)


class AddressModel(BaseModel):
    city: str = ""


class CustomerModel(BaseModel):
    email: str | None = None
    address: AddressModel = Field(default_factory=AddressModel)
    notes: list[AddressModel] = Field(default_factory=list)


class Pydantic(BaseModel):
    customer: CustomerModel = Field(default_factory=CustomerModel)


class AddressStruct(msgspec.Struct):
    city: str = ""


class CustomerStruct(msgspec.Struct):
    email: str | None = None
    address: AddressStruct = msgspec.field(default_factory=AddressStruct)
    notes: list[AddressStruct] = msgspec.field(default_factory=list)


class Structs(msgspec.Struct):
    customer: CustomerStruct = msgspec.field(default_factory=CustomerStruct)


def email(state: Any) -> None:
    state.customer.email = 5


def city(state: Any) -> None:
    state.customer.address.city = 5


def note(state: Any) -> None:
    state.customer.notes.append({"city": 5})


@pytest.mark.parametrize("schema", [Plain, Pydantic, Structs])
@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (email, ("customer", "email")),
        (city, ("customer", "address", "city")),
        (note, ("customer", "notes", 0, "city")),
    ],
)
def test_a_wrong_type_is_told_of_by_its_whole_path(
    schema: type[Any], is_stored: bool, edit: Any, path: tuple[str | int, ...]
) -> None:
    with perdure.Store("memory:") as store, store.open("a", schema=schema) as session:
        if is_stored:
            session.raw["customer"] = {"email": None, "address": {"city": ""}, "notes": []}
        with pytest.raises(WrongType) as refused:
            edit(session.state)
        assert refused.value.path == path
        assert str(refused.value).startswith("/".join(map(str, path)) + ": ")


def test_a_default_within_what_is_stored_knows_its_place() -> None:
    with perdure.Store("memory:") as store, store.open("a", schema=Plain) as session:
        session.raw["customer"] = {"email": None}
        with pytest.raises(WrongType) as refused:
            city(session.state)
        assert refused.value.path == ("customer", "address", "city")
        session.state.customer.address.city = "Lisbon"
        assert session.raw["customer"]["address"] == {"city": "Lisbon"}
