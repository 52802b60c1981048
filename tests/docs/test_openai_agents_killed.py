"""examples/openai_agents/agent.py killed at random moments: each time it goes on, to one end."""

import json
import os
import random
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint import Served

import perdure

AGENT = Path(__file__).parents[2] / "examples" / "openai_agents" / "agent.py"
ORDERS = (17, 18, 19, 20)
KILLS = 3
AT_REQUEST_MAX = 3
"""A process is killed at one of its first so many requests (requests)."""
LATER_MAX_S = 0.1
END = "All are refunded: 17, 18, 19, 20."


class World(Served):
    """A model that wants all orders refunded, two at a time, and a shop that refunds once a key.

    The process is killed when a request of its comes, when it was done, or a little later.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = self.requests = 0
        self.made = 0
        self.refunded: dict[str, list[int]] = {}
        self.complaints: list[str] = []
        self._one = threading.Lock()
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(world.answer(asked, self.headers["Idempotency-Key"])).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # whoever asked was killed
                    pass

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def begin(self, asked: str, home: Path) -> int:
        """Run the agent to its end, or to where it is killed; its exit code."""
        names = {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "k",
            "OPENAI_MODEL": "stub",
            "SHOP_URL": f"{self.url}/refunds",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, str(AGENT), asked]
        with self._one:
            self.requests = 0
            self.kill_at = self.chance.randint(1, AT_REQUEST_MAX) if self.kills < KILLS else 0
            self.moment = self.chance.choice(["before", "after", "later"])
            self.process = subprocess.Popen(command, env={**os.environ, **names}, cwd=home)
        return self.process.wait(120)

    def answer(self, asked: dict[str, Any], key: str | None) -> dict[str, Any]:
        with self._one:
            self.requests += 1
            is_last = self.requests == self.kill_at
            if is_last and self.moment == "before":
                self.kill(self.process)
                return {}
            answer = self.refund(asked, key) if "order" in asked else self.think(asked["input"])
            if is_last and self.moment == "after":
                self.kill(self.process)
            elif is_last:
                delay = self.chance.uniform(0, LATER_MAX_S)
                threading.Timer(delay, self.kill, (self.process,)).start()
            return answer

    def kill(self, process: "subprocess.Popen[bytes] | None") -> None:
        assert process is not None
        if process.poll() is None:
            process.kill()
            self.kills += 1

    def refund(self, asked: dict[str, Any], key: str | None) -> dict[str, Any]:
        assert key is not None
        if key not in self.refunded:
            self.refunded[key] = []
        self.refunded[key].append(asked["order"])
        return {"refunded": asked["order"]}

    def think(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        calls = [each for each in items if each.get("type") == "function_call"]
        outputs = [each for each in items if each.get("type") == "function_call_output"]
        named = sorted(each["call_id"] for each in calls)
        if named != sorted(each["call_id"] for each in outputs) or len(set(named)) != len(named):
            self.complaints.append(f"calls {calls} and outputs {outputs} do not belong together")
        orders = {each["call_id"]: json.loads(each["arguments"])["order"] for each in calls}
        done = {orders[each["call_id"]] for each in outputs if '"refunded"' in each["output"]}
        left = [order for order in ORDERS if order not in done][:2]
        output = [self.call(order) for order in left] or [said(END)]
        answer = {"id": "1", "object": "response", "created_at": 1, "model": "stub"}
        answer |= {"status": "completed", "output": output, "tools": []}
        return answer | {"parallel_tool_calls": True, "tool_choice": "auto"}

    def call(self, order: int) -> dict[str, Any]:
        self.made += 1
        made = {"type": "function_call", "id": f"item_{self.made}", "call_id": f"call_{self.made}"}
        return {**made, "name": "refund", "arguments": json.dumps({"order": order})}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "said", "role": "assistant", "status": "completed"}
    return {**message, "content": [part]}


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_it_comes_to_the_same_end_and_each_refund_is_made_once_P9(
    seed: int, tmp_path: Path
) -> None:
    with World(seed) as world:
        asked, ended = "Refund 17, 18, 19 and 20", -1
        for _ in range(KILLS + 1):
            ended = world.begin(asked, tmp_path)
            if ended == 0:
                break
            asked = "Go on"
    assert ended == 0 and world.kills > 0 and world.complaints == []
    assert sorted(world.refunded) == [f"refund-{order}" for order in ORDERS]
    assert all(len(set(orders)) == 1 for orders in world.refunded.values())
    with perdure.Store(tmp_path / "agent.db") as store:
        state = store.at("sessions/refunds", "main").plain()
        assert all(each.ok for each in store.verify())
    items = state["messages"]
    assert "responses" not in state.get("underway", {}), "no call is under way any more"
    calls = [each["call_id"] for each in items if each.get("type") == "function_call"]
    outputs = [each["call_id"] for each in items if each.get("type") == "function_call_output"]
    assert sorted(calls) == sorted(outputs) and len(set(calls)) == len(calls)
    assert items[-1]["content"][0]["text"] == END
