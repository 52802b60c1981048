"""A terminal chat that survives being killed, on any OpenAI-compatible endpoint. Each message is
saved before anything is done about it: the same command, run again, goes on with what was left
open. Leave with Ctrl-D or Ctrl-C; chat.db keeps everything.
    OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=qwen3 python examples/chat.py [NAME]"""

import json
import os
import sys
from itertools import chain, takewhile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import perdure

URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"
KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
PATH = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"name": "read_file", "description": "Read a text file", "parameters": PATH}


def read_file(call: Any) -> Any:
    try:
        text = Path(json.loads(call["function"]["arguments"])["path"]).read_text()
    except Exception as error:  # the model may learn from it
        text = f"error: {error}"
    return {"role": "tool", "tool_call_id": call["id"], "content": text}


def next_message(messages: list[Any]) -> Any:  # None if no turn is open
    results = list(takewhile(lambda message: message["role"] == "tool", reversed(messages)))
    last = messages[-1 - len(results)] if messages else {"role": "nobody"}
    if calls := (last.get("tool_calls") or [])[len(results) :]:
        return read_file(calls[0])
    if not results and last["role"] != "user":
        return None
    ask = {"model": MODEL, "messages": messages, "tools": [{"type": "function", "function": READ}]}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urlopen(Request(URL, json.dumps(ask).encode(), headers)) as answer:
        return json.load(answer)["choices"][0]["message"]


with perdure.Store("chat.db") as store, store.open("/".join(["chat", *sys.argv[1:]])) as session:
    messages = session.state.setdefault("messages", [])
    for message in messages[-10:]:  # where the last session stopped
        print(f"{message['role']}: {message.get('content') or '(calls its tool)'}")
    try:
        for line in chain([""], sys.stdin):  # first comes what that session left open
            if line.strip():
                messages.append({"role": "user", "content": line.strip()})
                session.save()
            while message := next_message(messages):
                messages.append(message)
                session.save()
                print(f"{message['role']}: {message.get('content') or '(calls its tool)'}")
            print("> ", end="", flush=True)
    except (KeyboardInterrupt, OSError) as error:  # OSError: the endpoint does not answer
        sys.exit(f"\n{str(error) or 'left'}: run it again to go on from here")
