"""Stand-ins for the nodes of a cluster: what travels to them and back is pickled, and nothing else is shared."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import pytest

from headstart.ray_workplace import Workplace


class StandIns:
    """Takes as many tasks as there are nodes, and answers the latest first, as a race might end."""

    def __init__(self, n_at_once: int = 3) -> None:
        self.n_at_once = n_at_once
        self.workplace = Workplace({}, os.getcwd(), (), "cpu", 1, False)
        self.n_tasks = 0

    def answers(self, work: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        left = iter(enumerate(tasks))
        while some := list(islice(left, self.n_at_once)):
            sent = [(number, pickle.dumps((work, task))) for number, task in some]
            for number, message in reversed(sent):
                self.n_tasks += 1
                function, task = pickle.loads(message)  # noqa: S301  our own
                yield number, pickle.loads(pickle.dumps(function(task, self.workplace)))  # noqa: S301

    def serve(self, made: Callable[..., Any], *arguments: Any) -> Any:
        return _Shared(made(*arguments))


class _Shared:
    """An object that stays the same one however often it is pickled."""

    held: ClassVar[dict[int, Any]] = {}

    def __init__(self, what: Any) -> None:
        self.held[id(what)] = what
        self._what = id(what)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.held[self._what], name)


@contextmanager
def on_stand_ins(monkeypatch: pytest.MonkeyPatch, n_at_once: int = 3) -> Iterator[StandIns]:
    """``--engine ray`` without ray."""
    nodes = StandIns(n_at_once)

    @contextmanager
    def opened(*_: Any) -> Iterator[StandIns]:
        yield nodes

    with monkeypatch.context() as patch:
        patch.setattr("headstart.ray_trials.open_trials", opened)
        yield nodes
