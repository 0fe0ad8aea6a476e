"""Whether what is asked of a teacher makes sense, before one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.config import OF_LOGITS
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.config import TaughtConfig
    from headstart.contracts import Head


def check_asked(config: TaughtConfig, heads: Sequence[Head] = ()) -> None:
    """Refuse options that mean nothing without a teacher, and heads that cannot learn from one."""
    if config.teacher is None:
        usual = type(config).model_fields
        given = [name for name in OF_LOGITS if getattr(config, name) != usual[name].default]
        if given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} goes with --teacher RUN; say who teaches, or leave it out"
            )
        return
    if closed := [head.kind for head in heads if not head.trains_by_epochs]:
        raise ConfigError(
            f"a {closed[0]} head is fitted on labels alone, and --teacher gives probabilities; heads that are trained "
            "by epochs learn from them: --head linear, mlp, residual or attention"
        )
