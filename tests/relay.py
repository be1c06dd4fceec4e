"""Between the portal and its broker: passes calls on until it is told to cut the line."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from tests.rabbit import ADMIN, ADMIN_PASSWORD, Rabbit


class Relay:
    """Calls are counted from 1. From the one in `cut_at` on nothing is answered.

    That one still reaches the broker where `is_late`: done there, and nobody here knows.
    """

    def __init__(self, rabbit: Rabbit) -> None:
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self.cut_at = 0
        self.is_late = False
        self.before_a_call: Callable[[int], object] = lambda number: None
        self._rabbit = rabbit
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """For RABBITMQ_MANAGEMENT_URL."""
        place = f"127.0.0.1:{self._server.server_port}"
        return f"http://{ADMIN}:{quote(ADMIN_PASSWORD, safe='')}@{place}"

    def mend(self) -> None:
        """The line holds again; what was counted is forgotten."""
        self.cut_at, self.is_late = 0, False
        self.calls.clear()

    @contextmanager
    def running(self) -> Iterator["Relay"]:
        """Until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes | None:
        """The broker's whole answer; None where the line is cut."""
        self.calls.append(f"{method} {path}")
        self.bodies.append(body)
        number = len(self.calls)
        self.before_a_call(number)
        is_cut = 0 < self.cut_at <= number
        if is_cut and not (self.is_late and number == self.cut_at):
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self._rabbit.management, timeout=10)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            return None
        finally:
            connection.close()
        head = f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Length: {len(content)}\r\n\r\n"
        return None if is_cut else head.encode() + content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = relay.pass_on(self.command, self.path, dict(self.headers), body)
                if answer is None:
                    self.close_connection = True
                else:
                    self.wfile.write(answer)

            do_GET = do_PUT = do_DELETE = do_POST = _answer  # noqa: N815 - the library's names

            def log_message(self, *args: object) -> None:
                """Nothing is said."""

        return Handler
