"""Tests in several processes that are forks of the one that collected them: ``pytest -p tests.forks --forks 3``.

pytest-xdist starts interpreters that each import and collect everything again; a fork has both from the start. A
process takes one file of tests after the other, and its reports are shown as they come. Tests whose process dies fail
by name.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import types
import warnings
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import pytest

FORKING = multiprocessing.get_context("fork")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many."""
    parser.addoption("--forks", type=int, default=0, metavar="N", help="run the tests in N processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run what was collected, in forks if there shall be any."""
    count = session.config.getoption("--forks")
    if session.testsfailed or session.config.option.collectonly or count == 0:
        return None
    files = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
    queue: SimpleQueue[int | None] = FORKING.SimpleQueue()
    processes = {}
    for i in range(count):
        ours, theirs = FORKING.Pipe(duplex=False)
        process = FORKING.Process(target=_work, args=(session, f"fork-{i}", files, queue, theirs))
        process.start()
        theirs.close()
        processes[ours] = process
    for i in [*range(len(files)), *[None] * count]:
        queue.put(i)
    try:
        unreported = _show(session, list(processes))
    except BaseException:
        for process in processes.values():
            process.kill()
        raise
    for process in processes.values():
        process.join()
    codes = [process.exitcode for process in processes.values()]
    for item in (item for item in session.items if item.nodeid in unreported):
        died = f"not run to its end: the process that ran {item.path.name} died (exit codes of all: {codes})"
        session.config.hook.pytest_runtest_logreport(
            report=pytest.TestReport(item.nodeid, item.location, {}, "failed", died, "call")
        )
    return True


def _show(session: pytest.Session, pipes: list[Connection]) -> set[str]:
    """Show what comes from the processes until the last of them has ended; the tests that none of them reported."""
    hook, config = session.config.hook, session.config
    unreported = {item.nodeid for item in session.items}
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                name, said = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
                continue
            if name == "warning":
                message, details = said
                hook.pytest_warning_recorded.call_historic(
                    kwargs={"warning_message": warnings.WarningMessage(*message), **details}
                )
                continue
            report = hook.pytest_report_from_serializable(config=config, data=said)
            hook.pytest_runtest_logreport(report=report)
            if report.when == "teardown":
                unreported.discard(report.nodeid)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
    return unreported


def _work(
    session: pytest.Session,
    name: str,
    files: list[list[pytest.Item]],
    queue: SimpleQueue[int | None],
    pipe: Connection,
) -> None:
    """One process: it runs the files that it gets, and sends what it finds."""
    config: Any = session.config
    sys.modules["__main__"] = types.ModuleType("__main__")  # which its own processes need not import
    base = config._tmp_path_factory.getbasetemp() / name
    base.mkdir()
    config._tmp_path_factory._basetemp = base
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    terminal._tw = type(terminal._tw)(nowhere)
    config.pluginmanager.register(_Sender(config, pipe))
    hook = config.hook
    items = (item for i in iter(queue.get, None) for item in files[i])
    item = next(items, None)
    while item:
        following = next(items, None)
        hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


class _Sender:
    """Sends what is to be shown."""

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self._config, self._pipe = config, pipe

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._pipe.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: object
    ) -> None:
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        message = (text, Warning, warning_message.filename, warning_message.lineno)
        self._pipe.send(("warning", (message, {"when": when, "nodeid": nodeid, "location": location})))
