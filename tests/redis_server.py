"""A real Redis of a test's own: it keeps nothing, and can be stopped, frozen and started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SENTENCE = "redis-server is not there: install redis-server (redis)."
START_SECONDS = 10  # a bound, not an expectation


class RedisServer:
    """On a Unix socket, in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(self._socket)]
        self._command = [program, *options, "--save", "", "--appendonly", "no"]
        self._folder = folder
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Empty, and ready when this returns."""
        self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self._socket)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("Redis did not start")

    def stop(self) -> None:
        """With all that it knew."""
        self.thaw()
        self._process.terminate()
        self._process.wait(START_SECONDS)

    def freeze(self) -> None:
        """It takes connections, and answers nobody."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def questions(self) -> int:
        """How often it was asked by script."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(b"INFO commandstats\r\nQUIT\r\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        calls = [line for line in text.splitlines() if line.startswith("cmdstat_evalsha:")]
        return int(calls[0].split("calls=")[1].split(",")[0]) if calls else 0


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Skipped where there is no Redis, unless PORTAL_REQUIRE_TOOLS=1 says that it must be there."""
    program = shutil.which(os.environ.get("REDIS_SERVER") or "redis-server")
    if program is None:
        if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
            pytest.fail(SENTENCE)
        pytest.skip(SENTENCE)
    server = RedisServer(program, tmp_path)
    yield server
    server.stop()
