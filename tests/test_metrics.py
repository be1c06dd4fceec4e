"""`/metrics`: what Prometheus is told, on the internal listener and nowhere else."""

import asyncio
import re
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys.edge import usage
from apikeys.edge.app import Door
from apikeys.edge.gate import Gate
from apikeys.edge.guard import Guard
from apikeys.edge.internal import Internal
from apikeys.edge.latency import MEASURED
from apikeys.edge.metrics import answer_metrics, render
from apikeys.edge.settings import edge_settings
from apikeys.models import Acknowledgement, DoorProcess
from apikeys.upkeep import measure_propagation
from examples.feed.feed import Feed
from portal.lib import clock
from tests.conftest import MakeKey
from tests.door import Ask, opened, rename_table, run
from tests.effect import PATIENCE, a_process, aside, with_doors
from tests.test_announcements import terminate

pytestmark = pytest.mark.usefixtures("door_beside")

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"\\\n]*",?)*)\})? (\S+)')
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """By name and labels. Each line is one that Prometheus can read; names have help and type."""
    samples: Samples = {}
    described = set(re.findall(r"^# HELP (\w+) \S", text, re.MULTILINE))
    typed = dict(re.findall(r"^# TYPE (\w+) (counter|gauge|histogram)$", text, re.MULTILINE))
    assert described == set(typed) and text.endswith("\n")
    for line in text.splitlines():
        if not line.startswith("# "):
            found = LINE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed
            named = frozenset(re.findall(r'(\w+)="([^"]*)"', labels or ""))
            assert (name, named) not in samples
            samples[name, named] = float(value)
    return samples


async def scrape(gate: Gate) -> Samples:
    """What a process answers."""
    answer = await answer_metrics(gate, {"method": "GET", "raw_path": b"/metrics"}, "an id")
    assert answer.status == 200
    assert dict(answer.headers)[b"content-type"].startswith(b"text/plain; version=0.0.4")
    return parsed(answer.body.decode())


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all processes."""
    return sum(
        value for (of, named), value in samples.items() if of == name and labels.items() <= named
    )


def test_calls_are_told_by_outcome_for_every_process(acme: Tenant, make_key: MakeKey) -> None:
    """One process answers for all of them; what others did comes in within a second or so."""
    _, secret = make_key(acme)

    async def use(ask: Ask) -> None:
        for _ in range(3):
            await ask(secret)
        await ask()
        await ask("vbk_ABCDEFGHIJKLMNOPQRSTUVWX")
        await ask(secret, path="/v1/nothing")
        await ask(secret, path="/cs2/v1/matches")  # let in, but there is no feed behind the door

    async def work() -> None:
        one, other = Gate(), Gate()
        async with opened(Door(gate=one)) as ask, opened(Door(gate=other)) as ask_other:
            await use(ask)
            await use(ask_other)
            async with asyncio.timeout(20):
                while total(found := await scrape(one), "portal_calls_total") < 14:
                    await asyncio.sleep(0.05)
            outcomes = {"allowed": 6, "key_missing": 2, "key_invalid": 2, "not_found": 4}
            for outcome, calls in outcomes.items():
                assert total(found, "portal_calls_total", outcome=outcome) == calls
            me = one.process.hex[:12]
            assert total(found, "portal_calls_total", process=me) == 7
            assert total(found, "portal_directory_keys", process=me) == 1
            assert total(found, "portal_directory_age_seconds", process=me) < 5
            assert total(found, "portal_directory_misses_total", process=me) == 2
            assert total(found, "portal_directory_hits_total", process=me) == 4
            assert total(found, "portal_call_wait_seconds_count", process=me) == 2
            assert total(found, "portal_lookup_seconds_count", process=me) == 2
            assert total(found, "portal_lookup_seconds_bucket", process=me, le="+Inf") == 2
            for name in ("portal_limiter_failures_total", "portal_streams_open"):
                assert total(found, name) == 0
            assert total(found, "portal_usage_lost_total") == 0
            assert total(found, "portal_database_up") == 1
            words = " ".join(str(key) for key in found)
            assert str(acme.pk) not in words and "acme" not in words and secret not in words

    run(work)


def test_counts_that_wait_and_calls_without_room_are_told(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written waits no more; what was lost stays lost."""
    monkeypatch.setattr(usage, "MOST_TALLIES", 2)
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 3600)
    secrets = [make_key(acme)[1] for _ in range(3)]
    clock.move(timedelta(seconds=10 - clock.timestamp() % 60))

    async def work() -> None:
        gate = Gate()
        async with opened(Door(gate=gate)) as ask:
            for secret in (*secrets, *secrets):
                assert (await ask(secret)).status == 200
            found = await scrape(gate)
            assert total(found, "portal_usage_waiting") == 2
            assert total(found, "portal_usage_lost_total") == 2
            assert gate._parts
            await gate._parts.usage.flush()
            found = await scrape(gate)
            assert total(found, "portal_usage_waiting") == 0
            assert total(found, "portal_usage_lost_total") == 2

    run(work)


def test_a_listener_that_was_lost_is_told_of(acme: Tenant) -> None:
    """Each time."""

    async def work() -> None:
        gate = Gate()
        async with opened(Door(gate=gate)):
            async with asyncio.timeout(PATIENCE):
                while total(await scrape(gate), "portal_directory_age_seconds") == 0:
                    await asyncio.sleep(0.02)
                losses = total(await scrape(gate), "portal_listener_losses_total")
                await asyncio.to_thread(terminate)
                while total(await scrape(gate), "portal_listener_losses_total") == losses:
                    await asyncio.sleep(0.02)

    run(work)


def test_calls_that_pass_uncounted_are_told_of(
    acme: Tenant, make_key: MakeKey, tmp_path: Path
) -> None:
    """Since there is no Redis where it should be."""
    _, secret = make_key(acme)
    settings = replace(edge_settings(), redis_url=f"unix://{tmp_path}/redis.sock")

    async def work() -> None:
        gate = Gate(settings)
        async with opened(Door(gate=gate)) as ask:
            for _ in range(3):
                assert (await ask(secret)).status == 200
            assert total(await scrape(gate), "portal_limiter_failures_total") == 3

    run(work)


def test_open_streams_are_told_of(acme: Tenant, make_key: MakeKey) -> None:
    """Those that are open just now."""
    _, secret = make_key(acme)
    scope = {
        "type": "websocket",
        "path": "/cs2/v1/stream",
        "raw_path": b"/cs2/v1/stream",
        "query_string": f"api_key={secret}".encode(),
        "headers": [],
        "client": ("203.0.113.7", 4711),
    }

    async def work() -> None:
        gate = Gate()
        to_feed: asyncio.Queue[Any] = asyncio.Queue()
        to_client: asyncio.Queue[Any] = asyncio.Queue()
        guard = Guard(Feed(), gate=gate)
        to_feed.put_nowait({"type": "websocket.connect"})
        async with opened(Door(gate=gate)):
            streaming = asyncio.create_task(guard(scope, to_feed.get, to_client.put))
            async with asyncio.timeout(PATIENCE):
                assert (await to_client.get())["type"] == "websocket.accept"
                assert total(await scrape(gate), "portal_streams_open") == 1
                to_feed.put_nowait({"type": "websocket.disconnect", "code": 1000})
                await streaming
            assert total(await scrape(gate), "portal_streams_open") == 0

    run(work)


def test_how_long_calls_take_is_told_of_one_in_so_many(acme: Tenant, make_key: MakeKey) -> None:
    """By the machine door as by forward auth, which measures its own."""
    _, secret = make_key(acme)
    about = [("x-original-uri", "/v1/whoami"), ("x-original-method", "GET")]

    async def work() -> None:
        one, other = Gate(), Gate()
        listener = Internal(gate=other, proxies=1)
        async with opened(Door(gate=one)) as ask, opened(listener) as authorize:  # type: ignore[arg-type] # lives as a door does
            for _ in range(MEASURED - 1):
                assert (await ask(secret)).status == 200
                answer = await authorize(secret, path="/internal/authorize", headers=about)
                assert answer.status == 200
            assert total(await scrape(one), "portal_call_seconds_count") == 0
            await ask(secret)
            await authorize(secret, path="/internal/authorize", headers=about)
            for gate in (one, other):
                found = await scrape(gate)
                me = gate.process.hex[:12]
                assert total(found, "portal_call_seconds_count", process=me) == 1
                assert total(found, "portal_call_seconds_bucket", process=me, le="+Inf") == 1
                assert 0 < total(found, "portal_call_seconds_sum", process=me) < 20

    run(work)


def test_processes_of_an_older_program_are_told_of_as_far_as_they_tell(acme: Tenant) -> None:
    """While one program is replaced by the next, both are there."""
    now = clock.now()
    DoorProcess.objects.create(
        id=uuid.uuid4(),
        started_at=now,
        seen_at=now,
        counted_until=now + timedelta(minutes=5),
        is_remembering=False,
        facts={"calls": {"allowed": 7}, "lookups": {"counts": [1], "seconds": 0.5}},
    )

    async def work() -> None:
        gate = Gate()
        async with opened(Door(gate=gate)):
            found = await scrape(gate)
            me = ("process", gate.process.hex[:12])
        assert total(found, "portal_calls_total", outcome="allowed") == 7
        assert {name for name, labels in found if labels and me not in labels} == {
            "portal_calls_total"
        }

    run(work)


def test_propagation_is_told(acme: Tenant) -> None:
    """The last change's and the canary's."""

    def change() -> None:
        try:
            Tenant.objects.filter(pk=acme.pk).update(name="Renamed")
            effect = measure_propagation()
            assert effect and effect.is_everywhere
        finally:
            connections.close_all()

    async def work() -> None:
        gate = Gate()
        async with opened(Door(gate=gate)):
            async with asyncio.timeout(20):
                while total(await scrape(gate), "portal_directory_age_seconds") == 0:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
            await asyncio.to_thread(change)
            found = await scrape(gate)
        assert total(found, "portal_canary_processes") == 1 == total(found, "portal_canary_reached")
        assert 0 < total(found, "portal_canary_seconds") < 3
        assert 0 <= total(found, "portal_canary_age_seconds") < 20
        assert 0 < total(found, "portal_change_seconds") < 20

    run(work)


def test_a_change_that_one_process_has_not_heard_of_has_no_time_yet(acme: Tenant) -> None:
    """However fast the others were."""

    async def work() -> None:
        silent = await aside(a_process)
        gate = Gate()
        await aside(lambda: Tenant.objects.filter(pk=acme.pk).update(name="Renamed"))
        heard = Acknowledgement.objects.filter(name=str(acme.pk), version__gt=acme.version)
        async with asyncio.timeout(PATIENCE):
            while not await aside(lambda: heard.filter(kind="tenant").exists()):
                await asyncio.sleep(0.05)
        assert "portal_change_seconds" not in {name for name, _ in await scrape(gate)}
        await aside(silent.delete)
        assert total(await scrape(gate), "portal_change_seconds") > 0
        await gate.close()

    with_doors(1, work)


def test_without_postgres_a_process_still_tells_of_itself(acme: Tenant) -> None:
    """And that it could not ask."""

    async def work() -> None:
        gate = Gate()
        async with opened(Door(gate=gate)) as ask:
            await ask()
            rename_table("apikeys_doorprocess", "away")
            try:
                found = await scrape(gate)
            finally:
                rename_table("away", "apikeys_doorprocess")
        assert total(found, "portal_database_up") == 0
        assert total(found, "portal_calls_total", outcome="key_missing") == 1

    run(work)


def test_it_is_on_the_internal_listener_and_not_on_the_public_port(acme: Tenant) -> None:
    async def work() -> None:
        async with opened(Door()) as ask:
            for path in ("/metrics", "/v1/metrics", "/internal/metrics"):
                answer = await ask(path=path)
                assert answer.status == 401 and b"portal_" not in answer.body
        async with opened(Internal()) as ask:  # type: ignore[arg-type] # lives as a door does
            answer = await ask(path="/metrics")
            assert answer.status == 200 and b"portal_calls_total" in answer.body
            refused = await ask(path="/metrics", method="POST")
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
            assert (await ask(path="/metrics/x")).status == 404

    run(work)


def test_what_is_not_known_is_left_out() -> None:
    text = render([("portal_x", "gauge", "What it is.", [("", {}, None), ("", {"a": "b"}, 1.5)])])
    assert text == '# HELP portal_x What it is.\n# TYPE portal_x gauge\nportal_x{a="b"} 1.5\n'
