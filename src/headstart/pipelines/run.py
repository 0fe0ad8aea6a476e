"""Running a pipeline: each step whose result is not there yet, in order, from where the last command stopped."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import HeadstartError
from headstart.notebook import html_table
from headstart.pipelines.state import Done, State, alone_in, finished
from headstart.pipelines.steps import Bench, Work, run_work, work_of
from headstart.registry.run_files import state_folder

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.pipelines.schema import Pipeline, Step

LOOKS_AGAIN = ("extract", "predict")
"""Steps that read data, which may have changed: they run each time, and the cache makes that quick."""


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step, or (``to do`` and ``to resume``) what a dry run foresees, and why."""

    name: str
    verb: str
    state: Literal["done", "there", "to do", "to resume"]
    reason: str = ""
    seconds: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineOutcome:
    """What became of a pipeline: its steps in the order of the file, and the folder that has a folder for each."""

    name: str
    folder: Path
    steps: tuple[StepOutcome, ...]

    def __getitem__(self, name: str) -> StepOutcome:
        """A step by its name."""
        found = {step.name: step for step in self.steps}
        if name not in found:
            raise KeyError(f"there is no step {name!r}; the steps are {', '.join(found)}")
        return found[name]

    def _repr_html_(self) -> str:
        rows = [
            [s.name, s.verb, s.state, f"{s.seconds:.1f}" if s.seconds else "–", s.reason] for s in self.steps
        ]
        header = ["step", "command", "state", "seconds", "why"]
        return html_table(f"pipeline {self.name} in {self.folder}", header, rows)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "pipeline": self.name,
            "out": str(self.folder),
            "steps": [asdict(step) for step in self.steps],
        }


def run_pipeline(
    pipeline: Pipeline,
    folder: Path,
    progress: Progress,
    cache: str | None = None,
    offline: bool = False,
    replace: bool = False,
) -> PipelineOutcome:
    """Run what is not there yet; results go to a folder for each step, and ``pipeline.json``.

    With ``replace`` sets that would become others are made anew.

    Raises
    ------
    HeadstartError
        A step failed; the message begins with its name, and what was done before it is kept.
    """
    bench = Bench(pipeline, folder, cache, offline, progress, replace)
    state = State(folder, pipeline.name)
    state.begin()
    outcomes: list[StepOutcome] = []
    with alone_in(folder):
        state = State(folder, pipeline.name)  # another command may have worked here until a moment ago
        for number, step in enumerate(pipeline.steps, 1):
            try:
                outcomes.append(_run_step(step, bench, state, f"[{number}/{len(pipeline.steps)}]"))
            except HeadstartError as error:
                error.args = (f"step {step.name!r} ({step.verb}): {error}",)
                raise
            except Exception:
                progress.say(f"step {step.name!r} ({step.verb}) failed; what was done before it is kept")
                raise
    return PipelineOutcome(pipeline.name, folder, tuple(outcomes))


def foresee(
    pipeline: Pipeline, folder: Path, progress: Progress, cache: str | None = None
) -> PipelineOutcome:
    """What `run_pipeline` would do, without doing any of it."""
    bench = Bench(pipeline, folder, cache, False, progress)
    state, outcomes = State(folder, pipeline.name), dict[str, StepOutcome]()
    for step in pipeline.steps:
        changing = [name for name in step.needs if outcomes[name].state != "there"]
        if changing:
            outcomes[step.name] = StepOutcome(step.name, step.verb, "to do", f"after {', '.join(changing)}")
            continue
        work = work_of(step, bench, state.of(step.needs), make=False)
        outcomes[step.name] = _standing(work, bench, state[step.name])
    return PipelineOutcome(pipeline.name, folder, tuple(outcomes.values()))


def _run_step(step: Step, bench: Bench, state: State, number: str) -> StepOutcome:
    work = work_of(step, bench, state.of(step.needs), make=True)
    before = state[step.name]
    standing = _standing(work, bench, before)
    if standing.state == "there" and step.verb not in LOOKS_AGAIN:
        bench.progress.say(f"{number} {step.name} ({step.verb}): is there")
        return standing
    resumes = standing.state == "to resume"
    reason = "goes on where it stopped" if resumes else standing.reason
    bench.progress.say(f"{number} {step.name} ({step.verb}): {reason}")
    if standing.state != "there":
        state.put(step.name, Done(step.verb, work.key, "begun"))
    start = perf_counter()
    result = run_work(work, bench, resumes)
    done = finished(step.verb, work.key, result, work.target, perf_counter() - start)
    unchanged = before is not None and standing.state == "there" and _is_same(before, done)
    state.put(step.name, dataclasses.replace(done, seconds=before.seconds) if unchanged and before else done)
    how: Literal["there", "done"] = "there" if unchanged else "done"
    return StepOutcome(step.name, step.verb, how, "" if unchanged else reason, done.seconds, result)


def _is_same(before: Done, now: Done) -> bool:
    """Whether a step that looked at its data again found nothing new."""
    return {**before.result, "computed": 0} == {**now.result, "computed": 0}


def _standing(work: Work, bench: Bench, before: Done | None) -> StepOutcome:
    """Whether a step's result is there, and if not, why it is to run."""
    name, verb = work.step.name, work.step.verb

    def outcome(state: Literal["there", "to do", "to resume"], reason: str) -> StepOutcome:
        seconds, result = (before.seconds, dict(before.result)) if before and state == "there" else (0.0, {})
        return StepOutcome(name, verb, state, reason, seconds, result)

    if before is None or before.verb != verb:
        return outcome("to do", "is new")
    if before.key != work.key:
        return outcome("to do", "its settings or what it hangs on have changed")
    if before.state == "begun":
        training = state_folder(work.target)
        is_begun = verb in ("fit-head", "fine-tune") and training.exists()
        return outcome("to resume" if is_begun else "to do", "it was interrupted")
    if verb == "extract" and not _has_set(before, bench):
        return outcome("to do", "its set is gone")
    if not before.is_whole(work.target):
        return outcome("to do", "its result is gone or was changed")
    return outcome("there", "looks at the data again" if verb in LOOKS_AGAIN else "")


def _has_set(before: Done, bench: Bench) -> bool:
    from headstart.cache.store import Cache

    try:
        Cache(bench.cache).open_set(before.result["set"], before.result["digest"])
    except (HeadstartError, KeyError):
        return False
    return True
