"""agent.py, killed with SIGKILL when one of its two refunds is saved, and started again.
The model and the shop are stubs, on this machine, over real HTTP.
It needs the extra `langgraph`, and `pip install openai`.
    python examples/langgraph_agent/story.py"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import perdure

AGENT = Path(__file__).with_name("agent.py")


def think(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model says: it asks for two refunds, and is content when both are done."""
    if messages[-1]["role"] == "user":
        calls = [
            {
                "id": f"call_{order}",
                "type": "function",
                "function": {"name": "refund", "arguments": json.dumps({"order": order})},
            }
            for order in (17, 18)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    answered = [each["tool_call_id"] for each in messages if each["role"] == "tool"]
    assert sorted(answered) == ["call_17", "call_18"], "a provider refuses anything else"
    return {"role": "assistant", "content": "Both orders are refunded."}


class Shop:
    """Refunds once for each key. It never answers the first who asks for order 18."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.refunds: dict[str, int] = {}
        self.killed = threading.Event()

    def refund(self, key: str, order: int) -> dict[str, Any]:
        self.asked.append(order)
        is_new = key not in self.refunds
        self.refunds[key] = order
        if is_new and order == 18:
            self.killed.wait()
        return {"refunded": order, "again": not is_new}


shop = Shop()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/refunds":
            answer = shop.refund(self.headers["Idempotency-Key"], asked["order"])
        else:
            message = think(asked["messages"])
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "stub"}
            answer["choices"] = [choice]
        body = json.dumps(answer).encode()
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


def start(url: str) -> "subprocess.Popen[bytes]":
    names = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "k",
        "OPENAI_MODEL": "stub",
        "SHOP_URL": f"{url}/refunds",
    }
    env = {**os.environ, **names, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen([sys.executable, str(AGENT), "Refund", "orders", "17", "18"], env=env)


def saved() -> list[str]:
    """The results that are saved of tasks whose step has not ended."""
    try:
        with perdure.Store("agent.db", create=False) as store:
            writes = store.at("threads/refunds", "main").get("langgraph.pending", [])
            return [said["content"] for each in writes for said in said_in(each["value"])]
    except perdure.PerdureError:  # there is nothing yet
        return []


def said_in(value: Any) -> list[dict[str, Any]]:
    is_result = isinstance(value, list) and value and value[0].get("role") == "tool"
    return value if is_result else []


def tell(url: str) -> None:
    agent, until = start(url), time.monotonic() + 60
    while not (18 in shop.asked and saved()) and time.monotonic() < until:
        time.sleep(0.02)
    agent.kill()  # SIGKILL
    agent.wait()
    print(f"killed; of its step is saved {', '.join(saved())}", flush=True)
    shop.killed.set()
    start(url).wait(60)
    print(f"the shop was asked for {sorted(shop.asked)}, refunded {sorted(shop.refunds.values())}")
    with perdure.Store("agent.db") as store:
        said = store.at("threads/refunds", "main")["messages"]
        print(f"the thread has {', '.join(each['role'] for each in said)}")


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        with tempfile.TemporaryDirectory() as home:
            os.chdir(home)
            tell(f"http://127.0.0.1:{server.server_port}")
    finally:
        os.chdir(AGENT.parent)
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
