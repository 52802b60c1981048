"""Who is measured, in the order of the table, and what to know about each figure."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import perdure


@dataclass(frozen=True, slots=True)
class Entry:
    """One library in one way of using it."""

    title: str
    where: str
    """Its `Peer`, as `module:class`; imported only by its own process."""
    distributions: tuple[str, ...]
    """What it is made of, for the versions."""
    caveat: str

    def versions(self) -> dict[str, str]:
        return {name: _version(name) for name in self.distributions}

    def note(self) -> str:
        """The versions and the caveat in one line."""
        parts = [f"{name} {found}" for name, found in self.versions().items()]
        return "; ".join([", ".join(parts), self.caveat] if parts else [self.caveat])


def _version(distribution: str) -> str:
    if distribution == "perdure":  # from the source tree, not installed
        return perdure.__version__
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(not installed)"


ENTRIES: dict[str, Entry] = {
    "perdure-power": Entry(
        "Perdure, power",
        "benchmarks.peers.ours:PerdurePower",
        ("perdure", "apsw"),
        "the default: each save is synced; verified when loaded, every message a checkpoint",
    ),
    "perdure-process": Entry(
        "Perdure, process",
        "benchmarks.peers.ours:PerdureProcess",
        ("perdure", "apsw"),
        'durability="process": survives kill -9, does not sync each save; else the same',
    ),
    "langgraph": Entry(
        "LangGraph SqliteSaver",
        "benchmarks.peers.langgraph_saver:LangGraphSaver",
        ("langgraph", "langgraph-checkpoint-sqlite"),
        "its `put` alone, which writes the whole list each time; a graph adds checkpoints of its"
        " own; every message a checkpoint",
    ),
    "langgraph-perdure": Entry(
        "LangGraph, Perdure's saver",
        "benchmarks.peers.langgraph_saver:LangGraphPerdure",
        ("langgraph", "perdure"),
        "the same `put` to `PerdureSaver`, with what old messages hold compared each time",
    ),
    "langgraph-delta": Entry(
        "LangGraph DeltaChannel",
        "benchmarks.peers.langgraph_delta:LangGraphDelta",
        ("langgraph", "langgraph-checkpoint-sqlite"),
        "needs a graph: one invoke of one empty node for each message, its work included, and"
        " several commits; a snapshot each 100 updates; beta",
    ),
    "openai-agents": Entry(
        "openai-agents SQLiteSession",
        "benchmarks.peers.openai_agents:OpenAIAgents",
        ("openai-agents",),
        "async, each call through a thread; a list of items, without checkpoints",
    ),
    "google-adk": Entry(
        "google-adk SqliteSessionService",
        "benchmarks.peers.google_adk:GoogleAdk",
        ("google-adk", "aiosqlite"),
        "async, through aiosqlite; a new connection for each event",
    ),
    "dbos": Entry(
        "dbos on SQLite",
        "benchmarks.peers.dbos_steps:Dbos",
        ("dbos", "sqlalchemy"),
        "a durable workflow, not a conversation: each message is the output of one step of one"
        " workflow; loaded by listing its steps, without replay",
    ),
    "eventsourcing": Entry(
        "eventsourcing on SQLite",
        "benchmarks.peers.event_sourcing:EventSourcing",
        ("eventsourcing",),
        "each message an event of one aggregate; no snapshots, as by default",
    ),
    "json-file": Entry(
        "whole-file JSON",
        "benchmarks.peers.json_file:JsonFile",
        (),
        "json.dumps of everything, fsync, rename; the directory is not synced; no history",
    ),
    "floor-full": Entry(
        "floor: SQLite, FULL",
        "benchmarks.peers.sqlite_floor:FloorFull",
        ("apsw",),
        "one row of msgpack for each message, synced; no history, no check of what is read",
    ),
    "floor-normal": Entry(
        "floor: SQLite, NORMAL",
        "benchmarks.peers.sqlite_floor:FloorNormal",
        ("apsw",),
        "the same, does not sync each save",
    ),
}
