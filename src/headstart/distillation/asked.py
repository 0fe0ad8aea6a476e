"""Whether what is asked of a teacher makes sense, before one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.config import FEATURES, OF_FEATURES, OF_LOGITS, TEACHER
from headstart.contracts import Distillable
from headstart.errors import ConfigError
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.config import TaughtConfig
    from headstart.contracts import Head


def check_asked(config: TaughtConfig, heads: Sequence[Head] = ()) -> None:
    """Refuse options that mean nothing without a teacher, and heads that cannot learn from one."""
    known = type(config).model_fields
    for who, options in ((TEACHER, OF_LOGITS), (FEATURES, OF_FEATURES)):
        idle = getattr(config, who, None) is None
        given = [name for name in options if name in known and getattr(config, name) != known[name].default]
        if idle and given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} goes with --{who.replace('_', '-')}; say who teaches, or leave it out"
            )
    if config.teacher is None:
        return
    if closed := [head.kind for head in heads if not head.trains_by_epochs]:
        raise ConfigError(
            f"a {closed[0]} head is fitted on labels alone, and --teacher gives probabilities; heads that are trained "
            "by epochs learn from them: --head linear, mlp, residual or attention"
        )


def check_kind(kind: str) -> None:
    """Refuse labels of a task in which nobody can be taught."""
    if not isinstance(open_task(kind), Distillable):
        raise ConfigError(
            f"labels of the kind {kind!r} cannot be taught yet, only one class or several a sample, and numbers; leave "
            "--teacher and --teacher-features out"
        )
