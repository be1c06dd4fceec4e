"""A real RabbitMQ, started by hand in a folder and on ports of its own, with TLS.

Each worker that needs one starts one, once. The fixture `rabbit` gives it empty, and named in the
settings; where the program is missing, the test is skipped with a sentence.
"""

import base64
import datetime as dt
import http.client
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import LazySettings

from portal.lib.processes import start, stop
from tests.browser.live import free_port

# The wrapper on PATH insists on an account and folders of the system's.
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
SENTENCE = "RabbitMQ is not there: install rabbitmq-server (it need not be started)."
START_SECONDS = 60  # a bound, not an expectation
ADMIN = "portal"
ADMIN_PASSWORD = "p@ss/w:rd %"  # which an address must encode
SETTINGS = """\
listeners.tcp.default = 127.0.0.1:{amqp}
listeners.ssl.default = 127.0.0.1:{amqps}
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_handshake_timeout = 60000
handshake_timeout = 60000
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = {user}
default_pass = {password}
collect_statistics_interval = 250
log.file.level = warning
vm_memory_high_watermark.absolute = 400MB
disk_free_limit.absolute = 1MB
"""


class Rabbit:
    """One broker. It can be stopped and started again, with all that it keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.amqp, self.amqps, self.management, self._dist, self._epmd = (
            free_port() for _ in range(5)
        )
        self._running: subprocess.Popen[bytes] | None = None
        make_certificates(folder)
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (folder / "rabbitmq.conf").write_text(
            SETTINGS.format(
                amqp=self.amqp,
                amqps=self.amqps,
                management=self.management,
                folder=folder,
                user=ADMIN,
                password=ADMIN_PASSWORD,
            )
        )
        self._own_epmd = start(
            ["epmd", "-port", str(self._epmd), "-address", "127.0.0.1"],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        """For RABBITMQ_MANAGEMENT_URL."""
        password = quote(ADMIN_PASSWORD, safe="")
        return f"http://{ADMIN}:{password}@127.0.0.1:{self.management}"

    @property
    def authority(self) -> Path:
        """The certificate that clients should trust."""
        return self.folder / "ca.pem"

    def start(self) -> None:
        """Returns when it serves AMQP and its management API."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "portal-test@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel "
            "inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_SCHEMA_DIR": str(self.folder / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-environment"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
        }
        output = self.folder / "output.log"
        with output.open("ab") as log:
            self._running = start(
                [PROGRAM], env=environment, cwd=self.folder, stdout=log, stderr=log
            )
        until(self._is_up, START_SECONDS, self._running)

    def stop(self) -> None:
        """As an administrator stops it."""
        if self._running:
            stop(self._running, (signal.SIGTERM, START_SECONDS))
            self._running = None

    def kill(self) -> None:
        """As a power cut stops it."""
        if self._running:
            stop(self._running)
            self._running = None

    def close(self) -> None:
        """For good."""
        self.stop()
        stop(self._own_epmd, (signal.SIGTERM, 5))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Its management API as its administrator; what it answers, as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=10)
        token = base64.b64encode(f"{ADMIN}:{ADMIN_PASSWORD}".encode()).decode()
        try:
            headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
            sent = None if body is None else json.dumps(body)
            connection.request(method, f"/api/{path}", body=sent, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status < 400, (method, path, answer.status, content)
            return json.loads(content) if content else None
        finally:
            connection.close()

    def publish(self, vhost: str, key: str, content: dict[str, Any]) -> bool:
        """Into the feed of a tenant, as the feed does; whether a queue took it."""
        self.ask("PUT", f"permissions/{vhost}/{ADMIN}", dict.fromkeys(_RIGHTS, ".*"))
        sent = {
            "properties": {"content_type": "application/json"},
            "routing_key": key,
            "payload": json.dumps(content),
            "payload_encoding": "string",
        }
        return bool(self.ask("POST", f"exchanges/{vhost}/ttfeed/publish", sent)["routed"])

    def empty(self) -> None:
        """As it was when it was new."""
        for vhost in self.ask("GET", "vhosts"):
            if vhost["name"] != "/":
                self.ask("DELETE", f"vhosts/{quote(vhost['name'], safe='')}")
        for user in self.ask("GET", "users"):
            if user["name"] != ADMIN:
                self.ask("DELETE", f"users/{quote(user['name'], safe='')}")

    def _is_up(self) -> bool:
        with suppress(OSError, http.client.HTTPException, AssertionError):
            return bool(self.ask("GET", "health/checks/virtual-hosts")["status"] == "ok")
        return False


_RIGHTS = ("configure", "write", "read")


def until(
    condition: Callable[[], bool],
    seconds: float = START_SECONDS,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Returns as soon as it holds; fails when it does not within the bound."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "RabbitMQ ended by itself"
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def make_certificates(folder: Path) -> None:
    """An authority for this folder alone, and a certificate of it for this machine's names."""
    now = dt.datetime.now(dt.UTC)
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in ("ca", "server")}
    names = {
        who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"portal test {who}")])
        for who in keys
    }
    local = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    for who, extension in (
        ("ca", x509.BasicConstraints(ca=True, path_length=None)),
        ("server", x509.SubjectAlternativeName(local)),
    ):
        made = (
            x509.CertificateBuilder()
            .subject_name(names[who])
            .issuer_name(names["ca"])
            .public_key(keys[who].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(extension, critical=who == "ca")
            .sign(keys["ca"], hashes.SHA256())
        )
        (folder / f"{who}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        keys["server"].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[Rabbit]:
    """This worker's broker, from the first test that needs it."""
    if not Path(PROGRAM).exists() or not shutil.which("epmd"):
        if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
            pytest.fail(SENTENCE)
        pytest.skip(SENTENCE)
    with (
        tempfile.TemporaryDirectory(prefix="portal-rabbit-") as folder,
        ExitStack() as stack,
    ):
        server = Rabbit(Path(folder))
        stack.callback(server.close)
        server.start()
        yield server


@pytest.fixture
def rabbit(rabbit_server: Rabbit, settings: LazySettings) -> Iterator[Rabbit]:
    """The broker, with nothing in it, and the portal told of it."""
    settings.RABBITMQ_MANAGEMENT_URL = rabbit_server.url
    settings.AMQP_HOST = "localhost"
    settings.AMQP_PORT = rabbit_server.amqp
    settings.AMQP_TLS_PORT = rabbit_server.amqps
    yield rabbit_server
    if not rabbit_server._running:
        rabbit_server.start()
    rabbit_server.empty()
