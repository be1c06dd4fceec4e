"""nginx, the portal and a feed as processes of their own, and a client for what comes back."""

import base64
import datetime as dt
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.launch.environment import ROOT
from portal.lib.processes import start, stop
from tests.browser.live import free_port

SHIPPED = ROOT / "deploy" / "nginx"
START_SECONDS = 60  # a bound, not an expectation
SERVERS = {
    "portal": "tests.nginx.patient:portal",
    "internal": "tests.nginx.patient:internal",
    "feed": "tests.nginx.feed:application",
}
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include portal.conf;
}}
"""


@dataclass(frozen=True)
class Reply:
    """Status, headers in lower case as often as they came, body."""

    status: int
    lines: Sequence[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """By name; each may come once."""
        names = [name for name, _ in self.lines]
        assert len(names) == len(set(names)), names
        return dict(self.lines)

    @property
    def told(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Of a refusal in JSON."""
        return self.status, self.told["code"]


@dataclass
class Stage:
    """What is running, and where."""

    folder: Path
    nginx: str = ""
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def call(
        self,
        path: str,
        *keys: str,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        port: str = "https",
    ) -> Reply:
        """A request, sent as it is written, over a connection of its own."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"X-API-Key: {key}" for key in keys]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self.connected(port) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            return _read(connection, method)

    def open_stream(self, path: str, *keys: str, **headers: str) -> "Reply | Any":
        """A WebSocket's first message as JSON, or the reply where none was opened."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines.append(f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}")
        lines += [f"X-API-Key: {key}" for key in keys]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        with self.connected("https") as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            reply = _read(connection, "GET", is_upgrade=True)
            return reply if reply.status != 101 else json.loads(_first_message(connection))

    @contextmanager
    def connected(self, port: str) -> Iterator[socket.socket]:
        """A connection; to `https` with TLS, and the certificate is checked."""
        with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=30) as plain:
            if port != "https":
                yield plain
                return
            trust = ssl.create_default_context(cafile=self.folder / "certificate.pem")
            with trust.wrap_socket(plain, server_hostname="localhost") as secured:
                yield secured

    def logs(self) -> str:
        """All that nginx and the others wrote."""
        files = list(self.folder.glob("*.log"))
        assert files
        return "\n".join(path.read_text("utf-8", "replace") for path in files)

    def await_log(self, line: str) -> None:
        """Until the line is written, which happens after the answer was sent."""
        deadline = time.monotonic() + START_SECONDS
        while line not in self.logs():
            assert time.monotonic() < deadline, f"{line} is not in the logs: {self.logs()}"
            time.sleep(0.05)

    def gather_static_files(self) -> None:
        """Pages name them by what is in them."""
        environment = os.environ | {"PORTAL_HOME": str(self.folder)}
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)

    def start_server(self, name: str, target: str, **settings: str) -> None:
        """Granian with an application, on a port of its own; returns when it is reachable."""
        port = self.ports.setdefault(name, free_port())
        command = [sys.executable, "-m", "granian", "--interface", "asgi", target]
        command += ["--port", str(port), "--workers", "1", "--workers-kill-timeout", "1"]
        command += ["--no-access-log", "--log-level", "warning"]
        self._start(name, command, **settings)
        self._await(name)

    def start_nginx(self) -> None:
        """With the shipped files, in which only addresses and places are changed."""
        folder = self.folder
        shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
        self.ports |= {"https": free_port(), "http": free_port()}
        _write_certificate(folder)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
        changes = {
            "listen 443 ssl;": f"listen 127.0.0.1:{self.ports['https']} ssl;",
            "listen 80;": f"listen 127.0.0.1:{self.ports['http']};",
            "listen [::]:443 ssl;": "",
            "listen [::]:80;": "",
            "127.0.0.1:8001": f"127.0.0.1:{self.ports['portal']}",
            "127.0.0.1:8002": f"127.0.0.1:{self.ports['portal']}",
            "127.0.0.1:8003": f"127.0.0.1:{self.ports['internal']}",
            "127.0.0.1:8004": f"127.0.0.1:{self.ports['feed']}",
            "/etc/ssl/portal/fullchain.pem": f"{folder}/certificate.pem",
            "/etc/ssl/portal/privkey.pem": f"{folder}/key.pem",
        }
        _change(folder / "portal.conf", changes)
        _change(folder / "portal" / "logs.conf", {"/var/log/nginx/": f"{folder}/"})
        self._start("nginx", [self.nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
        self._await("https")

    def stop(self, name: str) -> None:
        """As an administrator stops it."""
        stop(self.running.pop(name), (signal.SIGTERM, 10))

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """One of SERVERS does not run while the block does."""
        self.stop(name)
        try:
            yield
        finally:
            self.start_server(name, SERVERS[name])

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """One of SERVERS takes connections, and answers nobody, while the block runs."""
        group = self.running[name].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def _start(self, name: str, command: list[str], **settings: str) -> None:
        environment = os.environ | {"PORTAL_HOME": str(self.folder)} | settings
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = start(command, env=environment, cwd=ROOT, stdout=log, stderr=log)

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.ports[name]), timeout=5),
            ):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} did not start: {self.logs()}")


@contextmanager
def staged(folder: Path, nginx: str) -> Iterator[Stage]:
    """All of it, until the block ends."""
    with running(Stage(folder, nginx)) as stage:
        stage.gather_static_files()
        for name, target in SERVERS.items():
            stage.start_server(name, target)
        stage.start_nginx()
        yield stage


@contextmanager
def running(stage: Stage) -> Iterator[Stage]:
    """What is started on it ends with the block."""
    try:
        yield stage
    finally:
        for name in list(stage.running):
            stage.stop(name)


def _change(file: Path, changes: Mapping[str, str]) -> None:
    text = file.read_text()
    for before, after in changes.items():
        assert before in text, f"{file.name} does not say {before}"
        text = text.replace(before, after)
    file.write_text(text)


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))


def _read(connection: socket.socket, method: str, *, is_upgrade: bool = False) -> Reply:
    """Not buffered where it is an upgrade: what follows the headers is not ours to read."""
    response = http.client.HTTPResponse(connection, method=method)
    if is_upgrade:
        response.fp = connection.makefile("rb", 0)
    response.begin()
    lines = [(name.lower(), value) for name, value in response.getheaders()]
    body = b"" if response.status == 101 else response.read()
    return Reply(response.status, lines, body)


def _first_message(connection: socket.socket) -> bytes:
    """An unmasked text frame (RFC 6455 §5.2)."""
    stream = connection.makefile("rb", 0)
    first, length = stream.read(2)
    assert first == 0x81
    if length >= 126:
        length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
    message = b""
    while len(message) < length:
        message += stream.read(length - len(message))
    return message
