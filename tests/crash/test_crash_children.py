"""A parent and its children, killed at each of their saves: no child is ever lost in silence."""

from perdure import Store
from perdure.testing.crash import crash_everywhere

NAMES = ("researcher", "writer")


def lead(url: str) -> None:
    """Have two children do a task each, and go on with those that an earlier life left."""
    with Store(url, maintenance="off") as store, store.open("lead") as session:
        require_linked(store)
        told = {child.name for child in session.briefing().children}
        assert told == {child.name for child in session.children.unfinished()}
        for name in NAMES:
            known = session.children.get(name)
            if known is None or not known.is_finished:
                with session.child(name) as child, child.task("work") as task:
                    require_linked(store)
                    task.options(repeatable=True).effect("send", len, name)
            session.children.complete(name, "done")


def require_linked(store: Store) -> None:
    """See to it that whoever comes to the parent finds every child that ever saved anything."""
    links = store.at("lead", "main").plain() if store.states("lead", limit=1) else {}
    linked = {each["key"] for each in links.get("perdure.children", {}).values()}
    states = {each.key for each in store.states("lead/")}
    assert states <= linked


def is_done(store: Store) -> None:
    with store.open("lead") as session:
        found = session.children.all()
        assert [(child.name, child.status, child.result) for child in found] == [
            (name, "finished", "done") for name in NAMES
        ]
        for child in found:
            (effect,) = store.effects(child.key)
            assert (effect.status, effect.result) == ("done", len(child.name))
            with session.child(child.name) as opened:
                assert opened.raw["perdure.tasks"]["work"]["status"] == "done"


def test_no_child_is_lost_wherever_the_parent_is_killed() -> None:
    report = crash_everywhere(lead, is_done, start="fork")
    assert report.kills > 12
