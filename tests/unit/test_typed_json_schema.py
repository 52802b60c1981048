"""The JSON Schema of what a class is stored as."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

import msgspec

from perdure.schemas.json_schema import json_schema_of


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Cat(msgspec.Struct, tag="cat"):
    name: str


@dataclass
class Node:
    title: str
    mood: Mood = Mood.GOOD
    size: Literal[1, 2] = 1
    nodes: "list[Node]" = field(default_factory=list)
    pair: tuple[int, str] | None = None
    when: datetime | None = None
    tags: set[str] = field(default_factory=set)
    by: dict[str, Cat] = field(default_factory=dict)
    rest: Any = None


def test_the_schema_of_a_recursive_dataclass() -> None:
    schema = json_schema_of(Node)
    node = schema["$defs"]["Node"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == node["required"] == ["title"]
    assert schema["properties"] == node["properties"]
    assert schema["properties"] == {
        "title": {"type": "string"},
        "mood": {"enum": ["good", "bad"], "default": "good"},
        "size": {"enum": [1, 2], "default": 1},
        "nodes": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
        "pair": {
            "anyOf": [
                {
                    "type": "array",
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
                {"type": "null"},
            ],
            "default": None,
        },
        "when": {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "default": None,
        },
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "by": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Cat"}, "default": {}},
        "rest": {"default": None},
    }
    assert schema["$defs"]["Cat"] == {
        "title": "Cat",
        "type": "object",
        "properties": {"type": {"const": "cat"}, "name": {"type": "string"}},
        "required": ["type", "name"],
    }
