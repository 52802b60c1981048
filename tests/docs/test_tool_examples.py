"""examples/openai_tools and examples/anthropic_tools as they are run, over real HTTP."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint import Endpoint
from tests.unit.agent.talk import asks, said

import perdure
from perdure.agent import AnthropicConversation, OpenAIConversation

EXAMPLES = Path(__file__).parents[2] / "examples"
PROVIDERS = ("openai", "anthropic")

TOLD = """\
refund {'order': 17}
refund {'order': 18}
killed; saved are user, assistant, SAVED
refund {'order': 18}
Both orders are refunded.
the shop has refunded [17, 18]
"""


def run(script: Path, home: Path, *args: str, **names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *args],
        cwd=home,
        env={**os.environ, "no_proxy": "127.0.0.1", **names},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_in_the_middle_of_a_tool_call_it_goes_on_there_P1(
    provider: str, tmp_path: Path
) -> None:
    ran = run(EXAMPLES / f"{provider}_tools" / "story.py", tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == TOLD.replace("SAVED", "tool" if provider == "openai" else "user")


def answers(provider: str, message: dict[str, Any]) -> dict[str, Any]:
    """What the endpoint sends for a message of the model."""
    if provider == "openai":
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return {"id": "1", "object": "chat.completion", "created": 1, "choices": [choice]}
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"id": "1", "type": "message", "role": "assistant", "content": blocks}


def names_for(url: str, shop: str) -> dict[str, str]:
    """The environment of an agent whose model is at an endpoint."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "k",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_MODEL": "stub",
        "SHOP_URL": shop,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_rolled_back_it_answers_with_what_was_done_P9(provider: str, tmp_path: Path) -> None:
    refunds: list[Any] = []

    def serve(path: str, body: dict[str, Any]) -> Any:
        if path == "/refunds":
            refunds.append(body["order"])
            return {"refunded": body["order"]}
        has_asked = len(body["messages"]) > 1
        return answers(provider, said("Done.") if has_asked else asks(provider, "17"))

    agent = EXAMPLES / f"{provider}_tools" / "agent.py"
    with Endpoint(serve) as endpoint:
        names = names_for(endpoint.url, f"{endpoint.url}/refunds")
        for _ in range(2):
            ran = run(agent, tmp_path, "Refund order 17", **names)
            assert (ran.returncode, ran.stderr) == (0, "")
            assert ran.stdout.splitlines() == ["refund {'order': '17'}", "Done."]
            with perdure.Store(str(tmp_path / "agent.db")) as store:
                chat = store.at("refunds", "main").plain()["chat"]
                assert '{\\"refunded\\": \\"17\\"}' in json.dumps(chat)
                store.rollback("refunds", to=2)
    assert refunds == ["17"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_tool_that_fails_is_told_to_the_model(provider: str, tmp_path: Path) -> None:
    def think(path: str, body: dict[str, Any]) -> Any:
        has_asked = len(body["messages"]) > 1
        return answers(provider, said("Sorry.") if has_asked else asks(provider, "a"))

    with Endpoint(think) as endpoint:
        names = names_for(endpoint.url, "http://127.0.0.1:1/closed")
        agent = EXAMPLES / f"{provider}_tools" / "agent.py"
        ran = run(agent, tmp_path, "Refund order 17", **names)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.splitlines() == ["refund {'order': 'a'}", "Sorry."]
        again = run(agent, tmp_path, **names)  # done: nothing is asked again
        assert (again.returncode, again.stdout) == (0, "Sorry.\n")
        assert len(endpoint.asked) == 2
    with perdure.Store(str(tmp_path / "agent.db")) as store, store.open("refunds") as session:
        kind = OpenAIConversation if provider == "openai" else AnthropicConversation
        chat = kind.of(session.state, "chat")
        chat.check()
        assert "Refused: the shop is closed" in str(chat[2]["content"])
        assert all(each.ok for each in store.verify())
