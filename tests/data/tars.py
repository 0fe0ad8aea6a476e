"""Making tars for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add(tar: tarfile.TarFile, name: str, content: bytes, **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))


def write_tar(path: Path, members: Mapping[str, bytes | str], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members.items():
            add(tar, name, content.encode() if isinstance(content, str) else content)
    return path


SAMPLES = {
    "0.jpg": b"one", "0.cls": "3", "0.json": '{"licence": "cc", "width": 8}',
    "1.jpg": b"two", "1.cls": "10", "1.json": '{"licence": "by", "width": null}',
}  # fmt: skip
