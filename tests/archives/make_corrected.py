"""Write the archive of format 2: that of format 1, whose set somebody has corrected since.

python tests/archives/make_corrected.py
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from headstart.cache.store import Cache
from headstart.files import write_json

HERE = Path(__file__).parent
DECISIONS = [
    (0, "red", "", "keep"), (1, "green", "violet", "relabel"), (2, "red", "", "unsure"), (5, "red", "blue", "relabel"),
    (6, "red", "", "drop"),
]  # fmt: skip
"""By row: the old label and the new one, and the action; that of row 5, which is green, waits."""


def main() -> None:
    """Write the archive to a folder that does not exist yet."""
    before, after = HERE / "format-1", HERE / "format-2"
    shutil.copytree(before, after)
    expected = json.loads((after / "expected.json").read_text("utf-8"))
    features = Cache(after / "cache").open_set("colours")
    rows = [
        {
            "key": expected["samples"][row]["key"], "id": f"row {row}", "label": "colour", "old": old, "new": new,
            "action": action, "note": f"naïve note {row}", "digest": features.digest,
        }
        for row, old, new, action in DECISIONS
    ]  # fmt: skip
    made = features.correct(pa.Table.from_pylist(rows))
    expected["samples"][1]["label"] = "violet"
    del expected["samples"][6]
    more = {
        "digest": made.digest, "labels": [*expected["labels"], "violet"],
        "corrections": [asdict(row) for row in made.corrections],
    }  # fmt: skip
    write_json(after / "expected.json", {**expected, **more})


if __name__ == "__main__":
    main()
