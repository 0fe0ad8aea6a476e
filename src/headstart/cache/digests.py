"""Is a shard's content what the digest in its name says? Asked once a machine and file."""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from pathlib import Path

from headstart.cache.fingerprints import FingerprintMemo
from headstart.cache.layout import SHARD_NAME, machine_dir
from headstart.errors import CorruptShardError
from headstart.files import CLOCK_TICK_NS, fingerprint
from headstart.keys import KEY_BYTES, pack

DIGEST_BYTES = 8
_BLOCK = 1 << 20


def shard_digest(content: bytes | memoryview) -> str:
    """The digest in a shard's name: BLAKE2b-64 of the whole file, 16 hex digits."""
    return blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


class DigestCheck:
    """Compares shards with the digests in their names, and remembers which it has compared."""

    def __init__(self) -> None:
        self.memo = FingerprintMemo(machine_dir() / "shards")

    def check(self, path: Path, again: bool = False) -> None:
        """Compare a shard with its name, unless this machine has done so before.

        Parameters
        ----------
        path : Path
        again : bool
            Read it whatever is remembered: a bit that rots on a disk changes no time of the file.

        Raises
        ------
        CorruptShardError
            They differ.
        FileNotFoundError
            It is gone.
        """
        stat = path.stat()
        match = SHARD_NAME.fullmatch(path.name)
        named = match["digest"] if match else ""
        if not again and self._remembered(stat) == named:
            return
        digest = blake2b(digest_size=DIGEST_BYTES)
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != named:
            raise CorruptShardError(
                f"{path} is corrupt: its content does not have the digest in its name; "
                "`headstart cache verify --repair` drops it, and the next extract computes its rows anew"
            )
        self._remember(stat, named)

    def _remembered(self, stat: os.stat_result) -> str | None:
        value, known = self.memo.lookup(pack([fingerprint(stat)]))
        return value[0, :DIGEST_BYTES].tobytes().hex() if known[0] else None

    def _remember(self, stat: os.stat_result, digest: str) -> None:
        if max(stat.st_mtime_ns, stat.st_ctime_ns) > time.time_ns() - CLOCK_TICK_NS:
            return  # so young that it could change again and keep its times
        value = bytes.fromhex(digest).ljust(KEY_BYTES, b"\0")
        self.memo.remember(pack([fingerprint(stat)]), pack([value]))
