"""agent.py, killed with SIGKILL when one of its two refunds is saved, and asked to go on.
The model and the shop are stubs, on this machine, over real HTTP.
It needs the extra `openai-agents`.
    python examples/openai_agents/story.py"""

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


def call(call_id: str, order: int) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"item_{call_id}",
        "call_id": call_id,
        "name": "refund",
        "arguments": json.dumps({"order": order}),
    }


def say(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    said = {"type": "message", "id": "said", "role": "assistant", "status": "completed"}
    return {**said, "content": [part]}


def think(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the model says: it asks for two refunds, and tells what it knows of them."""
    made = {each["call_id"] for each in items if each.get("type") == "function_call"}
    outputs = {
        each["call_id"]: each["output"]
        for each in items
        if each.get("type") == "function_call_output"
    }
    assert made == outputs.keys(), "a provider refuses anything else"
    if not made:
        return [call("call_17", 17), call("call_18", 18)]
    done = [name for name, output in outputs.items() if "refunded" in output]
    unknown = sorted(outputs.keys() - done)
    return [say(f"I know of {', '.join(done)}; of {', '.join(unknown) or 'none'} I was not told.")]


class Shop:
    """Refunds once for each key. It never answers the first who asks for order 18."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.killed = threading.Event()

    def refund(self, order: int) -> dict[str, Any]:
        self.asked.append(order)
        if order == 18:
            self.killed.wait()
        return {"refunded": order}


shop = Shop()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/refunds":
            answer = shop.refund(asked["order"])
        else:
            answer = {"id": "1", "object": "response", "created_at": 1, "model": "stub"}
            answer |= {"status": "completed", "output": think(asked["input"])}
            answer |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
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


def start(url: str, asked: str) -> "subprocess.Popen[bytes]":
    names = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "k",
        "OPENAI_MODEL": "stub",
        "SHOP_URL": f"{url}/refunds",
    }
    env = {**os.environ, **names, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen([sys.executable, str(AGENT), asked], env=env)


def saved() -> list[str]:
    """The calls whose outcome is saved, of a run that is under way."""
    try:
        with perdure.Store("agent.db", create=False) as store:
            underway = store.at("sessions/refunds", "main").get("underway", {})
            return sorted(name for each in underway["responses"] for name in each["outputs"])
    except (KeyError, perdure.PerdureError):  # there is nothing yet
        return []


def tell(url: str) -> None:
    agent, until = start(url, "Refund 17 and 18"), time.monotonic() + 60
    while not (18 in shop.asked and saved()) and time.monotonic() < until:
        time.sleep(0.02)
    agent.kill()  # SIGKILL
    agent.wait()
    print(f"killed; saved is what came of {', '.join(saved())}", flush=True)
    shop.killed.set()
    start(url, "What became of my refunds?").wait(60)
    print(f"the shop was asked for {sorted(shop.asked)}")


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
