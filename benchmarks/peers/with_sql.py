"""FastAPI on uvicorn that asks Postgres about the key in every call, as many services do."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from psycopg_pool import AsyncConnectionPool

LOOKUP = """
SELECT tenant.id, tenant.name, key.scopes, key.sports, contract.limit_rpm
FROM apikeys_apikeysecret AS secret
JOIN apikeys_apikey AS key ON key.id = secret.key_id
JOIN accounts_tenant AS tenant ON tenant.id = key.tenant_id
JOIN apikeys_contract AS contract ON contract.tenant_id = tenant.id
WHERE secret.sha256 = %s AND secret.retired_at IS NULL AND key.revoked_at IS NULL
"""

pool = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, open=False)


@asynccontextmanager
async def _live(_: FastAPI) -> AsyncIterator[None]:
    async with pool:
        yield


application = FastAPI(lifespan=_live)


@application.get("/v1/whoami")
async def whoami(x_api_key: Annotated[str, Header()]) -> dict[str, Any]:
    """The documented answer, without formats, allowlist, limit and usage."""
    sha = hashlib.sha256(x_api_key.encode()).digest()
    async with pool.connection() as connection:
        row = await (await connection.execute(LOOKUP, [sha])).fetchone()
    if row is None:
        raise HTTPException(403)
    tenant_id, name, scopes, sports, limit_rpm = row
    return {
        "data": {
            "tenant_id": str(tenant_id),
            "name": name,
            "scopes": scopes,
            "sport_allowlist": sports,
            "rate_limit_rpm": limit_rpm,
        }
    }
