"""Three versions of one agent on one state. Each turn is a process of its own, as in a deploy that
rolls from one version to the next while both are live.
    python examples/changing_state/story.py"""

import importlib
import subprocess
import sys
from pathlib import Path

import perdure


def turn(version: str, said: str) -> None:
    agent = importlib.import_module(version)
    with (
        perdure.Store("changing.db") as store,
        store.open("story", schema=agent.Research) as session,
    ):
        if said == "begin":
            session.state.topic, session.state.notes = "barn owls", "they hunt at night"
        print(f"{version}: {agent.work(session.state, said)}", flush=True)


def edit(version: str, field: str) -> None:
    """Try to edit a field that newer code may have changed."""
    agent = importlib.import_module(version)
    with (
        perdure.Store("changing.db") as store,
        store.open("story", schema=agent.Research) as session,
    ):
        try:
            setattr(session.state, field, "tawny owls")
            print(f"{version}: edited {field}", flush=True)
        except perdure.errors.SchemaNewer as error:
            print(f"{version}: refused: {type(error).__name__}", flush=True)


def play(*words: str) -> None:
    subprocess.run([sys.executable, str(Path(__file__).resolve()), *words], check=True)


def main() -> None:
    for version, said in [("v1", "begin"), ("v2", "b"), ("v1", "c"), ("v2", "d"), ("v3", "e")]:
        play("turn", version, said)
    play("turn", "v2", "f")
    play("edit", "v2", "subject")
    with perdure.Store("changing.db") as store:
        for checkpoint in reversed(list(store.history("story"))):
            print(checkpoint.number, checkpoint.label or "")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        {"turn": turn, "edit": edit}[sys.argv[1]](*sys.argv[2:])
