"""`/v1/openapi.json`: it says what the machine door and the feed behind it do, and they do it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from accounts.models import Tenant
from apikeys import refusals
from apikeys.catalogue import contract_scopes
from apikeys.edge.app import Door
from apikeys.edge.formats import Format
from apikeys.edge.openapi import REFUSALS, document
from apikeys.refusals import Verdict
from apikeys.routes import ROUTES
from examples.feed.stream import frames
from tests.conftest import MakeKey
from tests.door import Reply, code, opened, run
from tests.nginx.stage import SERVERS, Stage, running

PATH = "/v1/openapi.json"
EXAMPLES = 10  # of each operation, besides those that are made from the document itself
# A stream's path is not found by whatever is no handshake, before anybody looks at its method.
CONFIGURATION = """
[[operations]]
include-path-regex = "/v1/stream"
checks.unsupported_method.enabled = false
"""
# Clients should pass over members that the document does not name; here they are faults.
CLOSED = {"additionalProperties": False}


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: the door has connections of its own."""
    return acme


def test_it_is_open_to_everybody_and_to_nothing_but_reading() -> None:
    """Without a key, whatever is asked for; what else is asked is told which methods there are."""

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [
                await ask(path=PATH),
                await ask("vbk_" + "0" * 24, path=PATH, headers=[("accept", "text/xml")]),
                await ask(path=PATH, method="HEAD"),
                await ask(path=PATH, method="POST"),
                await ask(path=PATH, method="POST", headers=[("accept", "text/xml")]),
                await ask(path=f"{PATH}/"),
            ]

    whole, with_key, head, posted, in_xml, below = run(work)
    assert whole.status == with_key.status == head.status == 200
    assert json.loads(whole.body) == document()
    assert whole.headers["content-type"] == "application/json"
    assert whole.headers["cache-control"] == "no-store"
    assert (head.body, head.headers["content-length"]) == (b"", str(len(whole.body)))
    assert code(posted) == (405, "method_not_allowed")
    assert posted.headers["allow"] == in_xml.headers["allow"] == "GET, HEAD"
    assert in_xml.headers["content-type"] == "text/xml; charset=utf-8"
    assert b"<code>method_not_allowed</code>" in in_xml.body
    assert code(below) == (401, "key_missing")


def test_it_is_openapi() -> None:
    """3.1, by the standard's own schema."""
    assert document()["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document()).validate()


def test_each_route_of_the_table_is_in_it_with_its_methods_and_scopes() -> None:
    """And nothing else is, but the document itself."""
    paths = document()["paths"]
    own = paths.pop(PATH)
    assert [operation["security"] for operation in own.values()] == [[], []]
    assert list(paths) == [route.template for route in ROUTES]
    ids = set()
    for route in ROUTES:
        operations = {k: v for k, v in paths[route.template].items() if k != "parameters"}
        assert list(operations) == [method.lower() for method in route.methods]
        for operation in operations.values():
            named = re.findall(r"`([\w:]+)`", operation.get("description", ""))
            assert tuple(named) == route.scopes
            ids.add(operation["operationId"])
    assert len(ids) == sum(len(route.methods) for route in ROUTES)


def test_each_refusal_is_in_it_with_all_of_its_codes() -> None:
    """Those that are constants, and those that say more."""
    known = [each for each in vars(refusals).values() if isinstance(each, Verdict)]
    known += [
        refusals.method_not_allowed(ROUTES[0]),
        refusals.rate_limited(600, 1),
        refusals.sport_not_allowed("dota2"),
        next(refusals.scope_not_granted(route) for route in ROUTES if route.scopes),
    ]
    said = {(status, code) for status, (_, _, codes) in REFUSALS.items() for code in codes}
    assert said == {(each.status, each.code) for each in known if not each.is_allowed}


def test_the_limits_headers_are_described_where_they_may_be_and_promised_nowhere() -> None:
    """While Redis is away nothing is counted; a 404 of the table costs nothing, the feed's does."""
    whole = document()["components"]
    limits = {"RateLimit", "RateLimit-Policy"}
    named = {name for name, each in whole["responses"].items() if limits <= each["headers"].keys()}
    assert named == {"NotFound", "OtherFormat", "TooMany"}
    assert not any(whole["headers"][name]["required"] for name in limits)


def test_a_body_is_described_in_every_format_that_there_is() -> None:
    """JSON and both names of XML."""
    for name, response in document()["components"]["responses"].items():
        assert list(response["content"]) == [each.value for each in Format], name


def closed(schema: Any) -> Any:
    """The same, with no room for members that are not described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(each) for name, each in schema.items()}
    is_object = isinstance(shut.get("properties"), dict) and shut.get("type") == "object"
    return CLOSED | shut if is_object else shut


def test_a_streams_frames_are_as_it_says() -> None:
    """All that the sample feed tells within some minutes, round ends among them."""
    whole = closed(document())
    frame = {"$ref": "#/components/schemas/Frame", "components": whole["components"]}
    validator = jsonschema_rs.validator_for(frame, validate_formats=True)
    meta = {"ts": "2026-05-10T12:00:00.000+00:00", "seq": 1}
    now = int(time.time())
    seen = set()
    for second in range(now, now + 130):
        for kind, data, *_ in frames(second):
            validator.validate({"type": kind, "data": data, "meta": meta})
            seen.add(kind)
    assert {"match.updated", "round.ended", "market.updated", "scoreboard.frame"} < seen


@pytest.fixture
def portal(django_db_setup: None, tmp_path: Path) -> Iterator[Stage]:
    """Both doors and the sample feed, as `bin/run` starts them."""
    with running(Stage(tmp_path)) as stage:
        stage.start_server("portal", SERVERS["portal"], EXAMPLE_FEED="1")
        yield stage


@pytest.mark.service
def test_the_running_server_does_what_it_says(
    acme: Tenant, make_key: MakeKey, portal: Stage, tmp_path: Path
) -> None:
    """Schemathesis asks, rightly and wrongly; what comes back is held against the document."""
    acme.contract.scopes = list(contract_scopes())
    acme.contract.limit_rpm = 1_000_000
    acme.contract.save()
    _, secret = make_key(acme)
    url = f"http://127.0.0.1:{portal.ports['portal']}"
    served = json.loads(portal.call(PATH, port="portal").body)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    (tmp_path / "openapi.json").write_text(json.dumps(closed(served)))
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [program, "run", str(tmp_path / "openapi.json"), "--url", url, "--no-color"]
    command += ["--header", f"X-API-Key: {secret}", "--max-examples", str(EXAMPLES), "--seed", "1"]
    command += ["--phases", "examples,coverage,fuzzing", "--warnings", "off"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
