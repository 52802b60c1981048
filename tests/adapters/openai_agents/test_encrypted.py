"""The SDK's own runner on an encrypted store, over real HTTP: all that it does on any other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agents import Runner, SQLiteSession
from tests.adapters.openai_agents.stub import ModelServer
from tests.adapters.openai_agents.test_runner import ASKED, CONFIG, Shop, told

import perdure
from perdure.adapters.openai_agents import PerdureSession
from perdure.errors import PerdureError

KEY = bytes(range(32))
WORDS = (b"refund", b"hand me over", b"heard", b"call_1_0")


def encrypted(store: Path, key: bytes | None = KEY) -> PerdureSession:
    return PerdureSession("alice", store, key=key)


def require_no_word(directory: Path) -> None:
    """In no file is there anything of what was said."""
    for file in directory.iterdir():
        data = file.read_bytes()
        assert not [word for word in WORDS if word in data], file


def test_a_conversation_resumed_at_each_turn_is_as_in_sqlite_session(tmp_path: Path) -> None:
    directory = tmp_path / "ours"
    directory.mkdir()

    async def ours(shop: Shop) -> Any:
        answers = []
        for asked in ASKED:  # each in a store of its own, as in a process of its own
            async with encrypted(directory / "a.db") as session:
                hooks = session.hooks()
                result = await Runner.run(
                    shop.agent, asked, session=session, run_config=CONFIG, hooks=hooks
                )
                answers.append(result.final_output)
                require_no_word(directory)
        async with encrypted(directory / "a.db") as session:
            return answers, await session.get_items()

    async def theirs(shop: Shop) -> Any:
        session = SQLiteSession("alice", tmp_path / "b.db")
        answers = [(await shop.run(asked, session)).final_output for asked in ASKED]
        return answers, await session.get_items()

    found = []
    for way in (ours, theirs):
        with ModelServer() as server:
            found.append(told(server, way))
    assert found[0] == found[1]
    require_no_word(directory)
    with perdure.Store(directory / "a.db", key=KEY) as store:
        assert all(each.ok for each in store.verify())


def test_a_run_that_waits_is_resumed_by_who_has_the_key_alone(tmp_path: Path) -> None:
    async def asking(shop: Shop) -> None:
        async with encrypted(tmp_path / "a.db") as session:
            result = await shop.run("refund 17", session)
            await session.keep_run(result.to_state())

    async def approving(shop: Shop) -> Any:
        async with encrypted(tmp_path / "a.db") as session:
            run = await session.kept_run(shop.agent)
            assert run is not None
            run.approve(run.get_interruptions()[0])
            answer = (await shop.run(run, session)).final_output
            await session.drop_run()
            return answer, shop.refunded

    with ModelServer() as server:
        told(server, asking, asks=True)
        require_no_word(tmp_path)
        for key in (None, bytes(32)):
            with pytest.raises(PerdureError):
                asyncio.run(encrypted(tmp_path / "a.db", key).get_items())
        assert told(server, approving, asks=True) == ("done: refunded 17", [17])
