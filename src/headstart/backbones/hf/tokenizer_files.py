"""What of a text model's folder decides how a text becomes tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import rfc8785

_PLAIN = ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")
# What these say of a tokenizer changes no token: where it came from, and what it is padded to.
_INERT = {
    "name_or_path",
    "tokenizer_file",
    "special_tokens_map_file",
    "transformers_version",
    "processor_class",
    "model_max_length",
    "max_length",
    "padding_side",
    "truncation",
    "padding",
    "stride",
    "pad_to_multiple_of",
}


def tokenizer_digest(files: Iterable[Path]) -> str:
    """BLAKE2b-128, in hex, of the files that make a tokenizer, whatever else lies beside them."""
    files = list(files)
    if any(path.name == "tokenizer.json" for path in files):
        # It holds all of the others; whether they lie beside it depends on who saved the model.
        files = [path for path in files if path.name in ("tokenizer.json", "tokenizer_config.json")]
    digest = blake2b(digest_size=16)
    for path in sorted(files, key=lambda path: path.name):
        if path.name in ("tokenizer.json", "tokenizer_config.json"):
            content = _without_inert(path)
        elif path.name in _PLAIN or path.suffix in (".model", ".spm"):
            content = path.read_bytes()
        else:
            continue
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _without_inert(path: Path) -> bytes:
    raw = path.read_bytes()
    try:
        value = json.loads(raw)
        return rfc8785.dumps({name: part for name, part in value.items() if name not in _INERT})
    except (ValueError, AttributeError, rfc8785.CanonicalizationError):
        return raw
