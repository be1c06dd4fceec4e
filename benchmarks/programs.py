"""Programs of the system that some benchmarks need beside Postgres: where they are, and Redis."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.stage import say

START_SECONDS = 10


def program(name: str, package: str) -> str:
    """Where it is. Where it is not, this benchmark ends with a sentence, and others go on."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if not found:
        say(f"not measured: it needs {name}. On Debian and Ubuntu: apt-get install {package}")
        raise SystemExit(0)
    return found


@contextmanager
def redis_server(port: int = 0) -> Iterator[tuple[str, psutil.Process]]:
    """Its URL and its process, until the block ends; it keeps nothing.

    port: of 127.0.0.1, since production speaks TCP to it; a Unix socket where it is 0.
    """
    command = [program("redis-server", "redis-server"), "--save", "", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        place = Path(folder) / "redis.sock"
        command += ["--bind", "127.0.0.1", "--unixsocket", str(place)]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
        try:
            deadline = time.monotonic() + START_SECONDS
            while not place.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("redis-server did not start")
                time.sleep(0.01)
            url = f"redis://127.0.0.1:{port}" if port else f"unix://{place}"
            yield url, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(10)
