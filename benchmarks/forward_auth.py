"""What it costs to have each call to a feed judged by the portal, with nginx as it is shipped.

    .venv/bin/python -m benchmarks.forward_auth [--rounds 5] [--seconds 4]

A call goes to nginx by TLS, is asked about at `/internal/authorize` (a process of its own), and
goes on to a feed: 300 fixed bytes from another nginx. The peer is the same nginx, with the same
configuration but for the guard, before the same feed. Both have one worker and write their access
log; keys are drawn at random from 100,000. CPU time is nginx's and the portal's, not the feed's.
"""

import argparse
import datetime as dt
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.peers.fixed import BODY
from benchmarks.programs import program
from benchmarks.rig import (
    Rig,
    Served,
    await_port,
    free_port,
    granian,
    ratios,
    rig,
    served,
    together,
)
from benchmarks.stage import ROOT, machine, say

SHIPPED = ROOT / "deploy" / "nginx"
INTERNAL = "apikeys.edge.internal:application"
MATCHES = ("/cs2/v1/matches", "X-API-Key")

_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include portal.conf;
}}
"""
_FEED = """
server {{
    listen 127.0.0.1:{port};
    access_log off;
    default_type application/json;
    location / {{ return 200 '{body}'; }}
}}
"""

_GUARDED = "location ^~ /cs2/v1/ {"
_UNGUARDED = "location ^~ /cs2/v1/ { include portal/proxy.conf; proxy_pass http://feed_cs2; }"


def main() -> None:
    """One comparison, and whose CPU time it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    program("wrk", "wrk")
    program("nginx", "nginx-light")
    with rig() as made, ExitStack() as stack:
        portal = stack.enter_context(served(made, "portal", granian(INTERNAL)))
        feed = stack.enter_context(_feed(made))
        guarded = stack.enter_context(_proxy(made, "guarded", feed, portal))
        bare = stack.enter_context(_proxy(made, "bare", feed))
        ours = together("nginx with the guard", guarded, also=portal.processes)
        ours = ours.asked(ours.name, *MATCHES, made.keys)
        ours.warm(*MATCHES, made.keys)
        peer = bare.asked("nginx without it", *MATCHES, made.keys)
        say(machine())
        before = portal.cpu_seconds(), ours.cpu_seconds()
        said = ratios(ours, peer, rounds=given.rounds, seconds=given.seconds)
        share = (portal.cpu_seconds() - before[0]) / (ours.cpu_seconds() - before[1])
        say(f"{ours.name} against {peer.name}: {said}; {share:.0%} of ours is the portal's")


@contextmanager
def _feed(made: Rig) -> Iterator[int]:
    """Its port."""
    folder, port = made.folder / "feed", free_port()
    folder.mkdir()
    (folder / "portal.conf").write_text(_FEED.format(port=port, body=BODY.decode()))
    with _nginx(folder, port):
        yield port


@contextmanager
def _proxy(made: Rig, name: str, feed: int, portal: Served | None = None) -> Iterator[Served]:
    """The shipped files, with other addresses and places; without a portal, the feed unguarded."""
    folder, port = made.folder / name, free_port()
    shutil.copytree(SHIPPED, folder)
    _write_certificate(folder)
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen [::]:443 ssl;": "",
        "listen [::]:80;": "",
        "127.0.0.1:8004": f"127.0.0.1:{feed}",
        "/etc/ssl/portal/fullchain.pem": f"{folder}/certificate.pem",
        "/etc/ssl/portal/privkey.pem": f"{folder}/key.pem",
    }
    if portal:
        changes["127.0.0.1:8003"] = f"127.0.0.1:{portal.port}"
    else:
        changes[_GUARDED] = f"{_UNGUARDED}\n    location ^~ /other/v1/ {{"
    _change(folder / "portal.conf", changes)
    _change(folder / "portal" / "logs.conf", {"/var/log/nginx/": f"{folder}/"})
    with _nginx(folder, port) as process:
        yield Served(name, (port,), (process,), made.folder / f"{port}.lua", "https")


@contextmanager
def _nginx(folder: Path, port: int) -> Iterator[psutil.Process]:
    """With a folder's portal.conf."""
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    command = [program("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)  # noqa: S603
    try:
        await_port(process, port, folder / "nginx.log")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _change(file: Path, changes: Mapping[str, str]) -> None:
    text = file.read_text()
    for before, after in changes.items():
        if before not in text:
            raise SystemExit(f"{file.name} does not say {before}")
        text = text.replace(before, after)
    file.write_text(text)


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(private)


if __name__ == "__main__":
    main()
