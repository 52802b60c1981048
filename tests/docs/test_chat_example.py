"""examples/chat.py against a small server over real HTTP, killed in the middle of a turn."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import perdure

CHAT = Path(__file__).parents[2] / "examples" / "chat.py"


class Stub:
    """An endpoint whose requests the test sees, and whose answers it gives."""

    def __init__(self) -> None:
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/chat/completions"
                size = int(self.headers["Content-Length"])
                stub.requests.put(json.loads(self.rfile.read(size)))
                message = stub.answers.get()
                if message is None:  # whoever asked is dead
                    return
                body = json.dumps({"choices": [{"message": message}]}).encode()
                self.send_response(message.get("error", 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def asked(self) -> list[dict[str, Any]]:
        """The messages of the next request; waits for it."""
        messages = self.requests.get(timeout=60)["messages"]
        assert isinstance(messages, list)
        return messages

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture
def chats() -> Iterator[list[subprocess.Popen[str]]]:
    """The processes a test started; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for chat in started:
        chat.kill()
        chat.communicate()


def start(chats: list[subprocess.Popen[str]], stub: Stub, home: Path) -> subprocess.Popen[str]:
    names = {"OPENAI_BASE_URL": stub.url, "OPENAI_API_KEY": "k", "no_proxy": "127.0.0.1"}
    pipe = subprocess.PIPE
    command = [sys.executable, str(CHAT), "ann"]
    env = {**os.environ, **names}
    chat = subprocess.Popen(
        command, cwd=home, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    chats.append(chat)
    return chat


def say(chat: subprocess.Popen[str], line: str) -> None:
    assert chat.stdin
    chat.stdin.write(line + "\n")
    chat.stdin.flush()


def end(chat: subprocess.Popen[str]) -> str:
    out, said = chat.communicate(timeout=60)
    assert (chat.returncode, said) == (0, "")
    return out


def kept(home: Path) -> list[dict[str, Any]]:
    with perdure.Store(str(home / "chat.db")) as store:
        number = store.info("chat/ann").number
        messages = store.at("chat/ann", number).plain()["messages"]
        assert all(each.ok for each in store.verify())
    assert isinstance(messages, list)
    return messages


def tool_call(path: Path) -> dict[str, Any]:
    function = {"name": "read_file", "arguments": json.dumps({"path": str(path)})}
    call = {"id": "call-1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def test_it_is_short() -> None:
    assert len(CHAT.read_text(encoding="utf-8").splitlines()) < 60


def test_a_chat_with_a_tool_call(
    stub: Stub, chats: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("meet at nine")
    chat = start(chats, stub, tmp_path)
    say(chat, "What does my note say?")
    assert [each["role"] for each in stub.asked()] == ["user"]
    stub.answers.put(tool_call(tmp_path / "note.txt"))
    assert stub.asked()[-1] == {
        "role": "tool",
        "tool_call_id": "call-1",
        "content": "meet at nine",
    }
    stub.answers.put({"role": "assistant", "content": "Meet at nine."})
    assert end(chat).endswith("assistant: Meet at nine.\n> ")
    assert [each["role"] for each in kept(tmp_path)] == ["user", "assistant", "tool", "assistant"]


def test_killed_while_the_model_thinks_it_asks_again(
    stub: Stub, chats: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = start(chats, stub, tmp_path)
    say(first, "Are you there?")
    asked = stub.asked()
    first.kill()
    first.wait()
    stub.answers.put(None)
    assert kept(tmp_path) == asked == [{"role": "user", "content": "Are you there?"}]

    second = start(chats, stub, tmp_path)
    assert stub.asked() == asked
    stub.answers.put({"role": "assistant", "content": "Yes."})
    assert end(second) == "user: Are you there?\nassistant: Yes.\n> "
    assert kept(tmp_path) == [*asked, {"role": "assistant", "content": "Yes."}]


def test_left_by_ctrl_c_it_says_how_to_go_on(
    stub: Stub, chats: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    chat = start(chats, stub, tmp_path)
    say(chat, "Are you there?")
    stub.asked()
    chat.send_signal(signal.SIGINT)
    _, said = chat.communicate(timeout=60)
    stub.answers.put(None)
    assert (chat.returncode, said) == (1, "\nleft: run it again to go on from here\n")
    assert [each["role"] for each in kept(tmp_path)] == ["user"]


def test_an_endpoint_that_fails_is_told_in_one_line(
    stub: Stub, chats: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    chat = start(chats, stub, tmp_path)
    say(chat, "Are you there?")
    stub.asked()
    stub.answers.put({"error": 500})
    _, said = chat.communicate(timeout=60)
    assert (chat.returncode, said.count("\n")) == (1, 2)
    assert "HTTP Error 500" in said
    assert "run it again" in said


def test_killed_while_its_tool_runs_it_runs_the_tool_again(
    stub: Stub, chats: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    # Reading a named pipe holds the tool at work for as long as nobody writes to it.
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    first = start(chats, stub, tmp_path)
    say(first, "Read it")
    stub.asked()
    stub.answers.put(tool_call(slow))
    with slow.open("w"):  # opens once the tool reads
        first.kill()
        first.wait()
    assert [each["role"] for each in kept(tmp_path)] == ["user", "assistant"]

    second = start(chats, stub, tmp_path)
    slow.write_text("at last")
    assert stub.asked()[-1]["content"] == "at last"
    stub.answers.put({"role": "assistant", "content": "It says: at last."})
    assert end(second).endswith("assistant: It says: at last.\n> ")
    assert [each["role"] for each in kept(tmp_path)] == ["user", "assistant", "tool", "assistant"]
