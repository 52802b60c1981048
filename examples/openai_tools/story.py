"""agent.py, killed with SIGKILL while the shop works on its second refund, and started again.
The model and the shop are stubs, on this machine, over real HTTP. It needs `pip install openai`.
    python examples/openai_tools/story.py"""

import json
import os
import subprocess
import sys
import tempfile
import threading
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
        self.refunds: dict[str, int] = {}
        self.working, self.killed = threading.Event(), threading.Event()

    def refund(self, key: str, order: int) -> dict[str, Any]:
        is_new = key not in self.refunds
        self.refunds[key] = order
        if is_new and order == 18:
            self.working.set()
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


def tell(url: str) -> None:
    agent = start(url)
    is_working = shop.working.wait(60)
    agent.kill()  # SIGKILL
    agent.wait()
    shop.killed.set()
    if not is_working:
        sys.exit("the agent did not come to its second refund")
    with perdure.Store("agent.db") as store:
        chat = store.at("refunds", "main").plain()["chat"]
    print(f"killed; saved are {', '.join(each['role'] for each in chat)}", flush=True)
    start(url).wait(60)
    print(f"the shop has refunded {sorted(shop.refunds.values())}")


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
