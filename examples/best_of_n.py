"""Best of N: a job tried N times, each try on a branch of its own, and the best one promoted. Every
step is saved: the same command, run again after a kill, goes on with the tries that were left open.
    python examples/best_of_n.py [N]
    perdure --store tries.db log tour --graph"""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from math import dist
from typing import Any

import perdure

STEPS = 10


def length(places: list[Any], tour: list[int]) -> float:
    return sum(dist(places[a], places[b]) for a, b in zip(tour, tour[1:] + tour[:1]))


def improved(places: list[Any], tour: list[int], dice: random.Random) -> list[int]:
    """One step of the job: a shorter round tour. An agent would ask its model here."""
    for _ in range(300):
        start, end = sorted(dice.sample(range(len(tour) + 1), 2))
        turned = tour[:start] + tour[start:end][::-1] + tour[end:]
        tour = min(tour, turned, key=lambda each: length(places, each))
    return tour


def attempt(store: perdure.Store, branch: str) -> float:
    with store.open("tour", branch=branch) as session:
        state = session.state
        while (step := state["steps"]) < STEPS:
            dice = random.Random(f"{branch} {step}")
            state["tour"] = improved(state["places"], state["tour"], dice)
            state["steps"] = step + 1
            session.save()
            left = length(state["places"], state["tour"])
            print(f"{branch}: step {step + 1}, {left:.1f}", flush=True)
        return length(state["places"], state["tour"])


def main(tries: int) -> None:
    with perdure.Store("tries.db") as store:
        with store.open("tour") as session:
            if session.resumed is None:
                dice = random.Random(1)
                places = [[dice.randrange(100), dice.randrange(100)] for _ in range(30)]
                session.state.update(places=places, tour=list(range(30)), steps=0)
                session.save(label="start")
        branches = [f"try-{number}" for number in range(1, tries + 1)]
        for branch in branches:  # nothing is copied; one that is there from before goes on
            store.fork("tour", branch, at=perdure.label("start"), exist_ok=True)
        with ThreadPoolExecutor() as pool:
            lengths = list(pool.map(lambda branch: attempt(store, branch), branches))
        shortest, best = min(zip(lengths, branches))
        if store.at("tour", "main")["steps"]:  # an earlier choice, which this one replaces
            store.rollback("tour", to=perdure.label("start"))
        store.promote("tour", best)
        print(f"the best is {best}: {shortest:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
