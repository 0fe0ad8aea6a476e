"""What a page is asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from headstart.config import Config
from headstart.inspection.project import check_method
from headstart.options import Positive, Range, Seed


class ReportConfig(Config):
    """What `report` is asked for, besides whose page it is.

    ``audit`` is None where only small sets are looked through. ``data`` is where the data is now, if it has moved.
    """

    function = "report"
    method: Annotated[str, AfterValidator(check_method)]
    label: str | None
    tap: str | None
    backbone: str | None
    thumbnails: Annotated[int, Range(ge=0)]
    samples: Positive
    text_length: Positive
    audit: bool | None
    suggestions: str | None
    data: Any
    cache: str | None
    seed: Seed
