"""An S3 server on this machine (moto's), and buckets in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

SECRET = "hidden-secret-key"
_numbers = count()
SCRIPT = """
import functools, json, logging, sys, threading
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

# moto looks at a condition and then writes, in several threads: without a lock two may win. A bucket has one winner.
turn = threading.RLock()

def one_at_a_time(answer):
    @functools.wraps(answer)
    def in_turn(*given, **named):
        with turn:
            return answer(*given, **named)
    return in_turn

for name in ("put_object", "copy_object", "delete_object"):
    setattr(S3Response, name, one_at_a_time(getattr(S3Response, name)))
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(json.dumps(server.get_host_and_port()), flush=True)
sys.stdin.read()  # until whoever started it is gone
"""


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment by which clients find a server of its own process; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        host, port = json.loads(process.stdout.readline())
        yield {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.kill()
        process.communicate()


def new_bucket(endpoint: str | None = None) -> str:
    """The address of an empty bucket, which no test had before."""
    endpoint = endpoint or os.environ["AWS_ENDPOINT_URL"]
    name = f"bucket-{os.getpid()}-{next(_numbers)}-{time.time_ns() % 10**6}"
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=20).close()
    return f"s3://{name}"
