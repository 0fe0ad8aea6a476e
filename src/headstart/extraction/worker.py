"""A worker process: it is told what to do on its standard input, and sends messages through a pipe.

Its task was pickled by its parent a moment before, and lies in no file.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, HeadstartError, MismatchError
from headstart.extraction.messages import (
    Advanced,
    ExitMessage,
    Failed,
    FailedRows,
    Message,
    Said,
    decode,
    encode,
)
from headstart.progress import Silence

if TYPE_CHECKING:
    from headstart.contracts import FrozenModel
    from headstart.extraction.claimed import ClaimedExtraction
    from headstart.extraction.workers import WorkerTask


class _ParentProgress(Silence):
    """Progress that is sent to the parent."""

    def __init__(self, messages: Connection) -> None:
        self._messages = messages
        self._n_sent = 0
        self.engine: ClaimedExtraction | None = None

    def send(self, message: Message) -> None:
        """Send a message; a parent that is gone does not keep us from committing what we have."""
        with contextlib.suppress(OSError):
            self._messages.send_bytes(encode(message))

    def say(self, message: str) -> None:
        """Pass the line on."""
        self.send(Said(message))

    def advance(self, n: int, work: float | None = None) -> None:
        """Pass the number on, and at once what has failed: the parent counts for ``--max-failures``."""
        if n or work:
            self.send(Advanced(n, work))
        self.send_failures()

    def send_failures(self) -> None:
        """Send those that were not sent yet, and the rows that the other workers need not try again."""
        if self.engine is None:
            return
        if failures := self.engine.failures[self._n_sent :]:
            self._n_sent += len(failures)
            self.send(Failed(failures))
        if self.engine.failed_rows:
            self.send(FailedRows(list(self.engine.failed_rows)))
            self.engine.failed_rows.clear()


def main() -> None:
    """Do the task, and send what became of it."""
    messages = Connection(int(sys.argv[1]), readable=False)
    progress = _ParentProgress(messages)
    signal.signal(signal.SIGTERM, _interrupt)
    done = _work(progress)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress.send(done)
    messages.close()
    # Threads that hang in a read must not hold up the end; all that was computed is committed.
    sys.stderr.flush()
    os._exit(0)


def _work(progress: _ParentProgress) -> ExitMessage:
    stopped: dict[str, Any] = {}
    try:
        task: WorkerTask = pickle.load(sys.stdin.buffer)  # noqa: S301  from the parent, through a pipe
        from headstart.extraction.claimed import ClaimedExtraction

        progress.engine = ClaimedExtraction(progress, task.batch_size, cores=task.cores, counts_others=False)
        threading.Thread(
            target=_listen, args=(progress.engine,), name="headstart-listen", daemon=True
        ).start()
        _run(task, progress.engine, progress)
    except KeyboardInterrupt:
        stopped = {"is_whole": False}
    except Exception as error:
        if not isinstance(error, HeadstartError):
            error = BackboneError(f"unexpected {type(error).__name__} in a worker: {error}")
        stopped = {"error_class": type(error).__name__, "error_text": str(error), "is_whole": False}
    engine = progress.engine
    return ExitMessage(engine.n_computed if engine else 0, engine.timings if engine else None, **stopped)


def _listen(engine: ClaimedExtraction) -> None:
    """Take note of rows that failed elsewhere; the end of the input is the end of the parent."""
    with contextlib.suppress(OSError, ValueError):
        while line := sys.stdin.buffer.readline():
            message = decode(line)
            if isinstance(message, FailedRows):
                engine.failed_elsewhere.put(message.positions)
    os.kill(os.getpid(), signal.SIGTERM)


def _run(task: WorkerTask, engine: ClaimedExtraction, progress: _ParentProgress) -> None:
    from headstart.extraction.writer import ShardWriter

    model = _load(task)
    writer = ShardWriter(task.plan.spaces, task.plan.shard_format)
    for _ in engine.run(task.plan, model, writer):
        pass
    progress.send_failures()


def _load(task: WorkerTask) -> FrozenModel:
    import torch

    from headstart.backbones import open_backbone

    torch.set_num_threads(task.cores)
    backbone = open_backbone(task.model.spec, task.model.options)
    if backbone.resolve().weights != task.model.weights:
        raise MismatchError(f"{task.model.spec} changed while it was being loaded; run the command again")
    return backbone.load(task.device, task.model.precision)


def _interrupt(*_: Any) -> None:
    # Once: a second signal would stop us from committing what is finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
