"""What the state of the example package is: plain, with every version's fields, without lenses.

`Model` has each fact once, in the form that says most; `seen` tells how each version shows it.
`instructions` draws what an agent of a version may be told to do.
"""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Act: TypeAlias = list[Any]
"""The name of what is to be done, and how."""

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES: dict[int, list[Any]] = {1: ["open", "waiting", "closed"], 2: [1, 2, 3], 3: [1, 2, 3]}


def stamp(time: datetime) -> str:
    """A time as an instruction, and as it is shown."""
    return time.isoformat().replace("+00:00", "Z")


class Model:
    """The facts, and what each act makes of them."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {
            "title": "",
            "note": "",
            "judge": 0,
            "user": ["", None],
            "estimate": 0,
            "place": ["", None],
            "start": stamp(BEGINNING),
            "deadline": None,
            "aim": "",
            "budget": 100,
            "rate": 0.0,
        }
        self.steps: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.counts: dict[str, int] = {}

    def copy(self) -> Model:
        """As it is now."""
        return copy.deepcopy(self)

    # ---- what is done -----------------------------------------------------------------------

    def do(self, act: Act) -> None:
        """What an act, by whichever version, makes of the facts."""
        name, *given = act
        if name in ("user", "place"):
            self.facts[name] = given
        elif name in self.facts:
            (self.facts[name],) = given
        else:
            getattr(self, f"_{name.replace(' ', '_')}")(*given)

    def _plan(self, text: str) -> None:
        self.steps.append({"text": text, "done": False})

    def _finish(self, at: int, done: bool) -> None:
        self.steps[at]["done"] = done

    def _say(self, *said: Any) -> None:
        self._interject(len(self.messages), *said)

    def _interject(self, at: int, who: str, text: str, when: str, mood: Any = None) -> None:
        new = {"who": who, "parts": [text], "at": when, "mood": mood, "tokens": 0}
        self.messages.insert(at, new)

    def _reword(self, at: int, text: str) -> None:
        self.messages[at]["parts"][0] = text

    def _add_part(self, at: int, text: str) -> None:
        self.messages[at]["parts"].append(text)

    def _attribute(self, at: int, who: str) -> None:
        self.messages[at]["who"] = who

    def _feel(self, at: int, mood: str | None) -> None:
        self.messages[at]["mood"] = mood

    def _measure(self, at: int, tokens: int) -> None:
        self.messages[at]["tokens"] = tokens

    def _unsay(self, at: int) -> None:
        del self.messages[at]

    def _forget(self, count: int) -> None:
        del self.messages[:count]

    def _defer(self, at: int, to: int) -> None:
        self.messages.insert(to, self.messages.pop(at))

    def _task(self, key: str, goal: str, tag: str | None, due: str | None) -> None:
        tags = [] if tag is None else [tag]
        self.tasks[key] = {"goal": goal, "owner": None, "tags": tags, "due": due, "rank": 1}

    def _drop(self, key: str) -> None:
        del self.tasks[key]

    def _rekey(self, key: str, new: str) -> None:
        self.tasks[new] = self.tasks.pop(key)

    def _goal(self, key: str, goal: str) -> None:
        self.tasks[key]["goal"] = goal

    def _own(self, key: str, owner: str | None) -> None:
        self.tasks[key]["owner"] = owner

    def _tags(self, key: str, tags: list[str]) -> None:
        self.tasks[key]["tags"] = list(tags)

    def _tag(self, key: str, tag: str) -> None:
        self.tasks[key]["tags"].append(tag)

    def _retag(self, key: str, tag: str) -> None:
        self.tasks[key]["tags"][:1] = [tag]

    def _due(self, key: str, due: str | None) -> None:
        self.tasks[key]["due"] = due

    def _rank(self, key: str, rank: int) -> None:
        self.tasks[key]["rank"] = rank

    def _log(self, text: str) -> None:
        self.log.append(text)

    def _count(self, who: str) -> None:
        self.counts[who] = self.counts.get(who, 0) + 1

    # ---- what is seen -----------------------------------------------------------------------

    def seen(self, version: int) -> dict[str, Any]:
        """All that a version shows, as its package's `show` gives it."""
        facts = self.facts
        plan: dict[str, Any] = {"steps": [_step(version, each) for each in self.steps]}
        shown: dict[str, Any] = {
            "status": STATUSES[version][facts["judge"]],
            "plan": plan,
            "messages": [_message(version, each) for each in self.messages],
            "tasks": {key: _task(version, each) for key, each in self.tasks.items()},
            "log": self.log,
            "counts": self.counts,
        }
        if version == 1:
            shown |= {"topic": facts["title"], "notes": facts["note"]}
            shown |= {"user": _joined(" ", facts["user"]), "estimate": str(facts["estimate"])}
            shown |= {"deadline": facts["deadline"]}
        else:
            shown |= {"subject": facts["title"], "budget": facts["budget"]}
            shown |= {"first": facts["user"][0], "last": facts["user"][1]}
            shown |= {"estimate": facts["estimate"]}
            plan |= {"deadline": facts["deadline"]}
        if version == 3:
            shown |= {"goal": facts["aim"], "rating": facts["rate"]}
            shown |= {"place": _joined(", ", facts["place"])}
            shown |= {"started": facts["start"].replace("Z", "+00:00")}
        else:
            plan |= {"goal": facts["aim"]}
            shown |= {"city": facts["place"][0], "country": facts["place"][1]}
            shown |= {"started": facts["start"]}
        return shown


def _joined(by: str, parts: list[str | None]) -> str:
    return by.join(part for part in parts if part is not None)


def _step(version: int, step: dict[str, Any]) -> dict[str, Any]:
    return {"title" if version == 3 else "text": step["text"], "done": step["done"]}


def _message(version: int, said: dict[str, Any]) -> dict[str, Any]:
    shown = {"role" if version == 1 else "author": said["who"], "at": said["at"]}
    shown |= {"parts": said["parts"]} if version == 3 else {"text": said["parts"][0]}
    shown |= {} if version == 3 else {"mood": said["mood"]}
    return shown | ({} if version == 1 else {"tokens": said["tokens"]})


def _task(version: int, task: dict[str, Any]) -> dict[str, Any]:
    tags = task["tags"]
    shown: dict[str, Any] = {"goal" if version == 1 else "aim": task["goal"]}
    shown |= {"owner": task["owner"], "due": task["due"]}
    shown |= {"tag": tags[0] if tags else None} if version == 3 else {"tags": tags}
    return shown | ({} if version == 1 else {"priority": task["rank"]})


# ---- drawing ------------------------------------------------------------------------------------


class Instructor:
    """Draws acts that make sense where a model stands; `who` makes what it names its own.

    Texts are never the same twice, so that each thing can be told from every other.
    """

    def __init__(self, chance: random.Random, who: str = "") -> None:
        self.chance = chance
        self.who = who
        self.told = 0

    def acts(self, version: int, model: Model, count: int) -> list[Act]:
        """Acts for a version, one after another; the model is led along."""
        found = []
        for _ in range(count):
            act = self.act(version, model)
            model.do(act)
            found.append(act)
        return found

    def act(self, version: int, model: Model) -> Act:
        """One act for a version."""
        chance = self.chance
        choices = [*_OF_FACTS[version], "plan", "say", "task", "log", "count"]
        if model.messages:
            choices += ["say", "interject", "reword", "attribute", "unsay", "forget"]
            choices.append("defer")
            choices += {1: ["feel"], 2: ["feel", "measure"], 3: ["add part", "measure"]}[version]
        if model.tasks:
            choices += ["drop", "goal", "own", "due", "rekey"]
            choices += {1: ["tags", "tag"], 2: ["tags", "tag", "rank"], 3: ["retag", "rank"]}[
                version
            ]
        if model.steps:
            choices.append("finish")
        name = chance.choice(choices)
        return [name, *getattr(self, f"_{name.replace(' ', '_')}", self._fact)(version, model)]

    def _text(self) -> str:
        self.told += 1
        return f"{self.who}{self.told}"

    def _time(self) -> str:
        return stamp(BEGINNING + timedelta(minutes=self.chance.randrange(100_000)))

    def _maybe(self, value: Any) -> Any:
        return self.chance.choice([value, value, None])

    def _fact(self, _version: int, _model: Model) -> list[Any]:
        return [self._text()]

    def _number(self, _version: int, _model: Model) -> list[Any]:
        return [self.chance.randrange(1000)]

    _estimate = _budget = _number

    def _rate(self, _version: int, _model: Model) -> list[Any]:
        return [self.chance.randrange(1000) / 8]

    def _judge(self, _version: int, _model: Model) -> list[Any]:
        return [self.chance.randrange(3)]

    def _user(self, _version: int, _model: Model) -> list[Any]:
        return [self._text(), self._maybe(self._text())]

    _place = _user

    def _start(self, _version: int, _model: Model) -> list[Any]:
        return [self._time()]

    def _deadline(self, _version: int, _model: Model) -> list[Any]:
        return [self._maybe(self._time())]

    def _finish(self, _version: int, model: Model) -> list[Any]:
        return [self.chance.randrange(len(model.steps)), self.chance.random() < 0.5]

    def _say(self, version: int, _model: Model) -> list[Any]:
        mood = [] if version == 3 else [self._mood()]
        return [self.chance.choice(["user", "bot"]), self._text(), self._time(), *mood]

    def _mood(self) -> str | None:
        return self.chance.choice(["calm", "eager", None])

    def _at(self, model: Model) -> int:
        return self.chance.randrange(len(model.messages))

    def _interject(self, version: int, model: Model) -> list[Any]:
        return [self._at(model), *self._say(version, model)]

    def _reword(self, _version: int, model: Model) -> list[Any]:
        return [self._at(model), self._text()]

    _attribute = _add_part = _reword

    def _feel(self, _version: int, model: Model) -> list[Any]:
        return [self._at(model), self._mood()]

    def _measure(self, _version: int, model: Model) -> list[Any]:
        return [self._at(model), self.chance.randrange(1000)]

    def _unsay(self, _version: int, model: Model) -> list[Any]:
        return [self._at(model)]

    def _forget(self, _version: int, model: Model) -> list[Any]:
        return [min(self._at(model), 2)]

    def _defer(self, _version: int, model: Model) -> list[Any]:
        return [self._at(model), self._at(model)]

    def _task(self, _version: int, _model: Model) -> list[Any]:
        key = f"{self.who}{self.chance.randrange(8)}"
        return [key, self._text(), self._maybe(self._text()), self._maybe(self._time())]

    def _key(self, model: Model) -> str:
        return self.chance.choice(sorted(model.tasks))

    def _drop(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model)]

    def _rekey(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), f"{self.who}{self.chance.randrange(8)}"]

    def _goal(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), self._text()]

    _tag = _retag = _goal

    def _own(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), self._maybe(self._text())]

    def _tags(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), [self._text() for _ in range(self.chance.randrange(3))]]

    def _due(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), self._maybe(self._time())]

    def _rank(self, _version: int, model: Model) -> list[Any]:
        return [self._key(model), self.chance.randrange(10)]

    def _count(self, version: int, _model: Model) -> list[Any]:
        return [f"{self.who}v{version}"]


_SHARED = ["title", "judge", "user", "estimate", "place", "start", "deadline", "aim"]
_OF_FACTS = {1: [*_SHARED, "note"], 2: [*_SHARED, "budget"], 3: [*_SHARED, "budget", "rate"]}
