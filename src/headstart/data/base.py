"""What most sources have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.types import LabelKind


class BaseSource:
    """A source whose samples can be had one by one, in any order, and have no labels."""

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """No labels."""
        return {}

    @property
    def rows_per_block(self) -> int | None:
        """Any row is as near as any other."""
        return None

    @property
    def streams(self) -> bool:
        """A payload can be had at any time after the scan."""
        return False
