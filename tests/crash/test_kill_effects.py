"""Processes that act on a service over HTTP, killed again and again: no action is done twice (P9).

The service kills its client itself, so that kills fall where they hurt: before it acted, after it
acted and before it answered, and while the answer is being recorded. Between lives the branch is
rolled back now and then, and where the agent does not know what happened, a person tells it.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from perdure import Store
from perdure.agent import DidNotHappen, Effect, Happened, current_effect
from perdure.errors import AlreadyClaimed, StepFailed, UnknownOutcome

# A size for the suite; the whole proof is PERDURE_EFFECTS=1000.
KILLS = int(os.environ.get("PERDURE_EFFECTS", "40"))
KEY = "refunds"
UNKNOWN = 3
"""The exit code of an agent that was told that it does not know."""

MOMENTS = ("before it acted", "after it acted", "after it answered")


class Declined(Exception):
    pass


class Service:
    """Refunds, counts, declines some orders at first, and kills who asks when it is told to."""

    def __init__(self, chance: random.Random) -> None:
        self.refunded: Counter[int] = Counter()
        self.keys: dict[int, set[str]] = {}
        self.declined: set[int] = set()
        self.moment, self.delay, self.requests_left = "", 0.0, 0
        self.life = 0
        """Of the agent that is at work: what one that was killed had asked for may come late, when
        the next has been told that it did not happen, and is lost then."""
        self._chance = chance
        self._lock = threading.Lock()

    def kill_at(self, moment: str) -> None:
        """Kill who asks for the second refund from now on, or one a little later."""
        self.moment, self.delay = moment, self._chance.random() / 200
        self.requests_left = self._chance.randrange(1, 5)
        self.life += 1

    def refund(self, order: int, key: str, pid: int, life: int) -> tuple[int, Any]:
        with self._lock:
            if life != self.life:
                return 500, None
            if order % 7 == 3 and order not in self.declined:
                self.declined.add(order)
                return 402, None
            self.requests_left -= 1
            moment = self.moment if self.requests_left == 0 else ""
            if moment == "before it acted":
                os.kill(pid, signal.SIGKILL)
                return 500, None
            self.refunded[order] += 1
            self.keys.setdefault(order, set()).add(key)
            if moment == "after it acted":
                os.kill(pid, signal.SIGKILL)
        if moment == "after it answered":
            threading.Timer(self.delay, os.kill, (pid, signal.SIGKILL)).start()
        return 200, f"re_{order}"


@contextmanager
def serving(service: Service) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(*service.refund(**asked))

        def do_GET(self) -> None:
            self.answer(200, service.refunded[int(self.path[1:])] > 0)

        def answer(self, code: int, value: Any) -> None:
            body = json.dumps(value).encode()
            try:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # it was killed
                pass

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


# ---- the agent ------------------------------------------------------------------------------


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    try:
        with build_opener(ProxyHandler({})).open(Request(url, data), timeout=30) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code == 402:
            raise Declined from None
        raise


def refund(service: str, order: int, life: int) -> Any:
    key = current_effect().key
    return ask(service, {"order": order, "key": key, "pid": os.getpid(), "life": life})


def look(service: str, order: int, effect: Effect) -> Any:
    return Happened(f"re_{order}") if ask(f"{service}/{order}") else DidNotHappen()


def agent(url: str, service: str, life: int, reconciles: bool) -> None:
    """Refund order after order, from where the state says, for ever."""
    with Store(url) as store, store.open(KEY) as session:
        state = session.state
        state.setdefault("next", 0)
        while True:
            order = state["next"]
            try:
                with session.task(f"order {order}") as task:
                    options = task.options(
                        key=f"orders/{order}",
                        not_done=(Declined,),
                        reconcile=partial(look, service, order) if reconciles else None,
                    )
                    if not task.done:
                        task.result = options.effect("refund", refund, service, order, life)
            except StepFailed:
                continue  # it was declined: once more
            except AlreadyClaimed as error:  # it was done, and the branch rolled back
                if error.result != f"re_{order}":
                    raise
            except UnknownOutcome:
                os._exit(UNKNOWN)
            state["next"] = order + 1


def person(url: str, service: Service) -> int:
    """Settle what the agent does not know, by looking at the service. Gives how much that was."""
    with Store(url) as store:
        unknown = [each for each in store.effects(KEY) if each.status == "unknown"]
        for each in unknown:
            order = int(each.key.removeprefix("orders/"))
            if service.refunded[order]:
                store.settle(KEY, each.key, happened=True, result=f"re_{order}", by="ann")
            else:
                store.settle(KEY, each.key, happened=False, by="ann")
    return len(unknown)


# ---- the proof ------------------------------------------------------------------------------


def live(url: str, service: str, life: int, *, reconciles: bool) -> int:
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "perdure.store", "perdure.backends.sqlite"])
    process = context.Process(target=agent, args=(url, service, life, reconciles), daemon=True)
    process.start()
    process.join(60)
    code: int | None = process.exitcode
    process.kill()
    assert code in (-signal.SIGKILL, UNKNOWN), "the agent failed; its traceback is on stderr"
    return code


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_no_action_is_done_twice_and_none_is_lost_in_silence_P9(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    chance = random.Random(KILLS)
    service = Service(chance)
    kills = told = rolled_back = 0
    with serving(service) as address:
        while kills < KILLS:
            service.kill_at(MOMENTS[kills % len(MOMENTS)])
            code = live(url, address, service.life, reconciles=chance.random() < 0.5)
            if code == UNKNOWN:
                settled = person(url, service)
                assert settled >= 1, "it did not know, and nobody could be told of what"
                told += settled
                continue
            kills += 1
            if chance.random() < 0.15:
                rolled_back += roll_back(url, chance)
        time.sleep(0.05)  # no timer of a kill is left

    repeated = {order: times for order, times in service.refunded.items() if times > 1}
    assert repeated == {}
    assert all(len(keys) == 1 for keys in service.keys.values())
    with Store(url) as store:
        effects = {each.key: each for each in store.effects(KEY)}
        assert all(each.ok for each in store.verify(KEY))
    done = {key for key, each in effects.items() if each.status == "done"}
    unknown = {key for key, each in effects.items() if each.status == "unknown"}
    performed = {f"orders/{order}" for order in service.refunded}
    assert done <= performed <= done | unknown, "an action was lost, or made up"
    assert len(unknown) <= 1
    assert told >= KILLS // 10
    assert rolled_back or KILLS < 20


def roll_back(url: str, chance: random.Random) -> int:
    with Store(url) as store:
        newest = store.info(KEY).number
        store.rollback(KEY, max(1, newest - chance.randrange(1, 8)))
    return 1
