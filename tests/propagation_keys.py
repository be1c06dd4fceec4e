"""The keys, what each should answer, and every way of changing that: by page, by staff, by SQL."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from secrets import SystemRandom
from typing import Any

import psycopg

from tests.propagation import READ, ROOT, SWITCHED, Change, Standing, Timeline

LIMIT = 1_000_000  # calls a minute: what is looked at here is no limit
TENANTS = 6
HOW = [
    "revoke",
    "rotate",
    "allowlist",
    "markets",
    "limit by staff",
    "scopes by staff",
    "suspend by staff",
    "rename by staff",
    "revoke by SQL",
    "retire by SQL",
    "scopes by SQL",
    "sports by SQL",
    "markets by SQL",
    "rename by SQL",
    "contract gone by SQL",
]
RENAME = "UPDATE accounts_tenant SET name = %s WHERE id = %s"
SET_MARKETS = """
INSERT INTO markets_tenantmarkets
    (default_on, overrides, tenant_id, version, changed_at, changed_by_name, act)
VALUES (true, %s, %s, 1, now(), '', 'by_hand')
ON CONFLICT (tenant_id) DO UPDATE SET overrides = excluded.overrides
"""
KEEP = "SELECT to_json(kept)::text FROM apikeys_contract AS kept WHERE tenant_id = %s"
DROP = "DELETE FROM apikeys_contract WHERE tenant_id = %s"
BRING_BACK = (
    "INSERT INTO apikeys_contract SELECT * FROM json_populate_record(NULL::apikeys_contract, %s)"
)

chance = SystemRandom()

Done = Mapping[str, Any]  # began_at and done_at, and what an act told besides
Step = tuple[Callable[[], Done], Standing]  # an act, and how those concerned stand after it


class Worker:
    """Does acts on the portal's own pages, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, act: str, **given: Any) -> Done:
        """The act, committed."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{json.dumps({'act': act, **given})}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"{act} failed; what was said is above"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def worker(urls: Mapping[str, str]) -> Iterator[Worker]:
    """One, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.changing"],
        cwd=ROOT,
        env={**os.environ, **urls, "LOG_LEVEL": "WARNING"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Worker(process)
        assert process.stdin
        process.stdin.close()


class Keys:
    """The keys, and the acts that change what they should answer."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], worker: Worker, spare: int
    ) -> None:
        """connect: as the owner of the tables. spare: how many may be revoked."""
        self._connect = connect
        self._worker = worker
        each = 3 + spare // TENANTS
        made = worker.do("prepare", tenants=TENANTS, keys=each, limit_rpm=LIMIT)
        self.timelines: dict[str, Timeline] = {}
        self.live: dict[str, str] = {}  # key → its secret, as it was handed out last
        self._tenant_of: dict[str, str] = {}
        self._standings: dict[str, Standing] = {}  # of all live keys of a tenant
        self._revoked: set[str] = set()
        for number, (tenant, key, secret) in enumerate(made["keys"]):
            self._tenant_of[key], self.live[key] = tenant, secret
            standing = Standing(f"Tenant {number // each}", LIMIT, tuple(made["scopes"]))
            self._standings[tenant] = standing
            self._begin(secret, made, standing)

    def any_key(self) -> str:
        """A live one."""
        return chance.choice([key for key in self.live if key not in self._revoked])

    def change(self, how: str, key: str) -> Iterator[Change]:
        """Do it, step by step; each is committed when it is handed out."""
        tenant, secret = self._tenant_of[key], self.live[key]
        standing = self._standings[tenant]
        dead = replace(standing, refusal="key_revoked")
        match how:
            case "revoke" | "revoke by SQL" | "retire by SQL":
                self._revoked.add(key)
                yield self._note([secret], self._kill(how, key), dead)
            case "rotate":
                done = self._worker.do("rotate", key_id=key)
                self._begin(done["secret"], done, standing)
                yield self._note([secret], done, dead)
                self.live[key] = done["secret"]
            case "allowlist" | "scopes by SQL" | "sports by SQL":
                for act, then in self._steps_of_key(how, key, standing):
                    yield self._note([secret], act(), then)
            case _:
                secrets = [
                    self.live[each]
                    for each in self.live.keys() - self._revoked
                    if self._tenant_of[each] == tenant
                ]
                for act, then in self._steps_of_tenant(how, tenant, standing):
                    self._standings[tenant] = then
                    yield self._note(secrets, act(), then)

    def _kill(self, how: str, key: str) -> Done:
        if how == "revoke":
            return self._worker.do("revoke", key_id=key)
        table, column, found = {
            "revoke by SQL": ("apikeys_apikey", "revoked_at", "id"),
            "retire by SQL": ("apikeys_apikeysecret", "retired_at", "key_id"),
        }[how]
        return self._execute(f"UPDATE {table} SET {column} = now() WHERE {found} = %s", key)

    def _steps_of_key(self, how: str, key: str, standing: Standing) -> list[Step]:
        """There and back."""
        if how == "allowlist":
            outside = replace(standing, refusal="ip_not_allowed")
            networks = {"192.0.2.0/24": outside, "127.0.0.0/8": standing}
            return [
                (partial(self._worker.do, "allow", key_id=key, network=network), then)
                for network, then in networks.items()
            ]
        column = how.removesuffix(" by SQL")
        less = replace(standing, sports=()) if column == "sports" else _reading_nothing(standing)
        statement = f"UPDATE apikeys_apikey SET {column} = %s WHERE id = %s"
        return [
            (partial(self._execute, statement, list(getattr(then, column)), key), then)
            for then in (less, standing)
        ]

    def _steps_of_tenant(self, how: str, tenant: str, standing: Standing) -> list[Step]:
        """To a new state, or there and back; of markets that is another revision."""

        def do(act: str, **given: Any) -> Callable[[], Done]:
            return partial(self._worker.do, act, tenant_id=tenant, **given)

        def sql(statement: str, *values: object) -> Callable[[], Done]:
            return partial(self._execute, statement, *values)

        less = _reading_nothing(standing)
        more = replace(standing, limit_rpm=standing.limit_rpm + 1)
        renamed = replace(standing, name=uuid.uuid4().hex)
        suspended = replace(standing, refusal="tenant_suspended")
        gone = replace(standing, limit_rpm=0, scopes=(), sports=())
        off = replace(standing, is_on=False, revision=standing.revision + 1)
        on = replace(standing, revision=standing.revision + 2)
        match how:
            case "limit by staff":
                return [(do("change_terms", limit_rpm=more.limit_rpm), more)]
            case "scopes by staff":
                return [(do("change_terms", scopes=then.scopes), then) for then in (less, standing)]
            case "suspend by staff":
                buttons = {"suspend": suspended, "reactivate": standing}
                return [(do("press", button=button), then) for button, then in buttons.items()]
            case "rename by staff":
                return [(do("rename", name=renamed.name), renamed)]
            case "rename by SQL":
                return [(sql(RENAME, renamed.name, tenant), renamed)]
            case "markets":
                choices = {"off": off, "default": on}
                return [
                    (do("switch", code=SWITCHED, choice=choice), then)
                    for choice, then in choices.items()
                ]
            case "markets by SQL":
                overrides = {json.dumps({SWITCHED: False}): off, "{}": on}
                return [(sql(SET_MARKETS, each, tenant), then) for each, then in overrides.items()]
            case "contract gone by SQL":
                (kept,) = self._rows(KEEP, tenant)
                return [(sql(DROP, tenant), gone), (sql(BRING_BACK, kept), standing)]
        raise ValueError(how)

    def _begin(self, secret: str, done: Done, standing: Standing) -> None:
        self.timelines[secret] = Timeline()
        self._note([secret], done, standing)

    def _note(self, secrets: list[str], done: Done, standing: Standing) -> Change:
        change = Change(done["began_at"], done["done_at"], standing.states())
        for secret in secrets:
            self.timelines[secret].changes.append(change)
        return change

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._connect() as owner:
            return [value for (value,) in owner.execute(statement, values).fetchall()]

    def _execute(self, statement: str, *values: object) -> Done:
        with self._connect() as owner:
            began_at = time.monotonic()
            owner.execute(statement, values)
            owner.commit()
            return {"began_at": began_at, "done_at": time.monotonic()}


def _reading_nothing(standing: Standing) -> Standing:
    """Without the scope that the feed is asked with."""
    return replace(standing, scopes=tuple(each for each in standing.scopes if each != READ))
