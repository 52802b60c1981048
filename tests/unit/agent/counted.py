"""What tests of tasks call, and where they look."""

from typing import Any

from perdure import Store


class Counted:
    """A function that knows how often it was called, and fails as often as it is told."""

    def __init__(self, result: Any = "made", fails: int = 0) -> None:
        self.calls = 0
        self.result = result
        self.fails = fails

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls <= self.fails:
            raise ValueError(f"try {self.calls}")
        return self.result


def newest(store: Store) -> dict[str, Any]:
    """The state as it was saved last."""
    return store.at("a", store.info("a").number).plain()
