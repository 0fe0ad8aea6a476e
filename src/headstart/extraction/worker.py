"""A worker process: told what to do on its standard input, it speaks through a pipe.

What it reads was pickled by its parent a moment before, and lies in no file.
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
from headstart.extraction.workers import Done, WorkerTask
from headstart.progress import Silence

if TYPE_CHECKING:
    from headstart.contracts import FrozenModel
    from headstart.extraction.engine import LocalEngine


class _Speaking(Silence):
    """Progress that is said to the parent.

    Parameters
    ----------
    messages : Connection
    """

    def __init__(self, messages: Connection) -> None:
        self._messages = messages
        self._n_told = 0
        self.engine: LocalEngine | None = None

    def tell(self, kind: str, value: Any) -> None:
        """Send a message; a parent that is gone does not keep us from committing what we have."""
        with contextlib.suppress(OSError):
            self._messages.send((kind, value))

    def say(self, message: str) -> None:
        """Pass the message on."""
        self.tell("say", message)

    def advance(self, n: int) -> None:
        """Pass the number on, and at once what has failed: the parent counts for ``--max-failures``."""
        if n:
            self.tell("advance", n)
        self.tell_failures()

    def tell_failures(self) -> None:
        """Those that were not told yet, and the rows that the other workers need not try again."""
        if self.engine is None:
            return
        if failures := self.engine.failures[self._n_told :]:
            self._n_told += len(failures)
            self.tell("failures", failures)
        if self.engine.given_up:
            self.tell("given up", list(self.engine.given_up))
            self.engine.given_up.clear()


def main() -> None:
    """Do the task, and say what became of it."""
    messages = Connection(int(sys.argv[1]), readable=False)
    speaking = _Speaking(messages)
    signal.signal(signal.SIGTERM, _interrupt)
    done = _work(speaking)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    speaking.tell("done", done)
    messages.close()
    # Threads that hang in a read must not hold up the end; all that was computed is committed.
    sys.stderr.flush()
    os._exit(0)


def _work(speaking: _Speaking) -> Done:
    engine: LocalEngine | None = None
    try:
        task: WorkerTask = pickle.load(sys.stdin.buffer)  # noqa: S301  from the parent, through a pipe
        from headstart.extraction.engine import LocalEngine

        engine = LocalEngine(speaking, task.stored, task.batch_size, cores=task.cores, counts_others=False)
        speaking.engine = engine
        threading.Thread(target=_hear, args=(engine,), name="headstart-hear", daemon=True).start()
        _run(task, engine, speaking)
    except KeyboardInterrupt:
        return _done(engine, is_whole=False)
    except Exception as error:
        return _done(engine, _portable(error), is_whole=False)
    return _done(engine)


def _hear(engine: LocalEngine) -> None:
    """Take note of what others gave up; the end of the input is the end of the parent."""
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            engine.given_up_elsewhere.put(pickle.load(sys.stdin.buffer))  # noqa: S301  from the parent
    os.kill(os.getpid(), signal.SIGTERM)


def _run(task: WorkerTask, engine: LocalEngine, speaking: _Speaking) -> None:
    from headstart.extraction.writer import ShardWriter

    model = _load(task)
    writer = ShardWriter(task.plan.spaces, task.plan.shard_format)
    for shard in engine.run(task.plan, model, writer):
        speaking.tell("shard", shard)
    speaking.tell_failures()


def _load(task: WorkerTask) -> FrozenModel:
    import torch

    from headstart.backbones import open_backbone

    torch.set_num_threads(task.cores)
    backbone = open_backbone(task.model.spec, task.model.options)
    if backbone.resolve().weights != task.model.weights:
        raise MismatchError(f"{task.model.spec} changed while it was being loaded; run the command again")
    return backbone.load(task.device, task.model.precision)


def _done(engine: LocalEngine | None, error: Exception | None = None, is_whole: bool = True) -> Done:
    if engine is None:
        return Done(0, None, error, is_whole)
    return Done(engine.n_computed, engine.timings, error, is_whole)


def _portable(error: Exception) -> Exception:
    """An error that survives the way to the parent."""
    if not isinstance(error, HeadstartError):
        return BackboneError(f"unexpected {type(error).__name__} in a worker: {error}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  our own, made a moment ago
    except Exception:
        return HeadstartError(str(error))
    return error


def _interrupt(*_: Any) -> None:
    # Once: a second signal would stop us from committing what is finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
