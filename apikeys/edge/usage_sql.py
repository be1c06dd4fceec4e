"""The statements by which the machine door writes how keys are used.

Each is one statement and so in one snapshot: either all of it is written or nothing. Rows are
locked in the order of their keys, and tables in the same order everywhere, so that processes wait
for each other and not in a circle. A key or secret that is gone is left out.
"""

AT_ONCE = 4  # slices in a statement; they make up 64 (apikeys.waiting)

# One row if this batch of this process was not written before. Parameters: process, number.
_MINE = """mine AS (
    INSERT INTO apikeys_usagewriter AS known (process, batch, written_at)
    VALUES (%s, %s, now())
    ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
    WHERE known.batch < excluded.batch
    RETURNING batch
)"""

# Of `calls` (key, start, outcome, calls) and `uses` (key, at, address), of keys that are there.
_COUNTED = """counted AS (
    INSERT INTO apikeys_keycalls AS known (key_id, period, start, outcome, calls)
    SELECT key, 'minute', start, outcome, calls FROM calls ORDER BY key, outcome
    ON CONFLICT (key_id, period, start, outcome)
    DO UPDATE SET calls = known.calls + excluded.calls
), used AS (
    INSERT INTO apikeys_keyuse AS known (key_id, last_used_at, last_address)
    SELECT key, at, address FROM uses ORDER BY key
    ON CONFLICT (key_id) DO UPDATE
    SET last_used_at = excluded.last_used_at, last_address = excluded.last_address
    WHERE known.last_used_at < excluded.last_used_at
)"""

# Tallies of a minute, each to the rows of its key.
WRITE = f"""
WITH {_MINE}, sent AS MATERIALIZED (
    SELECT sent.* FROM mine, unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::inet[])
    AS sent (key, allowed, used_at, address)
), given AS MATERIALIZED (
    SELECT sent.* FROM mine, (
        VALUES (to_timestamp(%s::bigint), %s::jsonb, %s::jsonb, %s::jsonb)
    ) AS sent (start, refused, refusals, retired)
), keys AS MATERIALIZED (
    SELECT key.id FROM apikeys_apikey AS key WHERE key.id IN (SELECT sent.key FROM sent)
    ORDER BY key.id FOR KEY SHARE
), calls AS MATERIALIZED (
    SELECT keys.id AS key, given.start, noted.outcome, noted.calls FROM given, (
        SELECT key, 'allowed' AS outcome, allowed AS calls FROM sent WHERE allowed <> 0
        UNION ALL
        SELECT noted.* FROM given, jsonb_to_recordset(given.refused)
        AS noted (key uuid, outcome text, calls bigint)
    ) AS noted JOIN keys ON keys.id = noted.key
), uses AS MATERIALIZED (
    SELECT keys.id AS key, to_timestamp(sent.used_at / 1000.0) AS at, sent.address
    FROM sent JOIN keys ON keys.id = sent.key WHERE sent.used_at > 0
), secrets AS MATERIALIZED (
    SELECT secret.id, to_timestamp(noted.at) AS at, noted.address, noted.calls
    FROM given, jsonb_to_recordset(given.retired)
    AS noted (secret bigint, at float, address inet, calls bigint)
    JOIN apikeys_apikeysecret AS secret ON secret.id = noted.secret
    ORDER BY secret.id FOR KEY SHARE OF secret
), {_COUNTED}, refused AS (
    INSERT INTO apikeys_keyrefusal AS known
        (key_id, outcome, address, at, method, path, detail, calls)
    SELECT keys.id, noted.outcome, noted.address,
           to_timestamp(noted.at), noted.method, noted.path, noted.detail, noted.calls
    FROM given, jsonb_to_recordset(given.refusals) AS noted (
        key uuid, outcome text, address text, at float,
        method text, path text, detail text, calls bigint
    )
    JOIN keys ON keys.id = noted.key ORDER BY noted.key, noted.outcome, noted.address
    ON CONFLICT (key_id, outcome, address) DO UPDATE
    SET calls = known.calls + excluded.calls, at = greatest(known.at, excluded.at),
        method = CASE WHEN known.at > excluded.at THEN known.method ELSE excluded.method END,
        path = CASE WHEN known.at > excluded.at THEN known.path ELSE excluded.path END,
        detail = CASE WHEN known.at > excluded.at THEN known.detail ELSE excluded.detail END
), retired AS (
    INSERT INTO apikeys_secretuse AS known (secret_id, last_used_at, last_address, calls)
    SELECT id, at, address, calls FROM secrets ORDER BY id
    ON CONFLICT (secret_id) DO UPDATE
    SET calls = known.calls + excluded.calls,
        last_used_at = greatest(known.last_used_at, excluded.last_used_at),
        last_address = CASE WHEN known.last_used_at < excluded.last_used_at
            THEN excluded.last_address ELSE known.last_address END
)
SELECT batch FROM mine
"""  # noqa: S608 - texts of our own

# A statement of its own: it has to see what the one above has written.
TRIM = """
DELETE FROM apikeys_keyrefusal WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY key_id ORDER BY at DESC, id DESC) AS place
        FROM apikeys_keyrefusal WHERE key_id = ANY(%s)
    ) AS kept WHERE place > %s
)
"""

_SENT = ", ".join(["(%s::smallint, %s::uuid[], %s::bigint[], %s::bigint[], %s::inet[])"] * AT_ONCE)

# Tallies of a minute, a row for each slice that has any. They are merged later.
KEEP = f"""
WITH {_MINE}
INSERT INTO apikeys_waitinguse (slice, start, keys, calls, used_at, addresses)
SELECT sent.slice, given.start, sent.keys, sent.calls, sent.used_at, sent.addresses
FROM mine, (VALUES (to_timestamp(%s::bigint))) AS given (start),
    (VALUES {_SENT}) AS sent (slice, keys, calls, used_at, addresses)
WHERE sent.keys <> '{{}}'
"""  # noqa: S608 - texts of our own

# Whoever looks at the same time begins with others of that minute.
OVER = """
SELECT slice, start FROM apikeys_waitinguse WHERE start <= to_timestamp(%s)
GROUP BY slice, start ORDER BY start, random()
"""

# The rows of a slice and minute, as many as hold so many tallies, but one at least. Those that
# another process is merging just now are passed over. Deleted and added at once: counted once.
MERGE = f"""
WITH found AS MATERIALIZED (
    SELECT id, cardinality(keys) AS tallies FROM apikeys_waitinguse
    WHERE slice = %s AND start = %s ORDER BY id LIMIT 200 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM apikeys_waitinguse WHERE id IN (
        SELECT id FROM (
            SELECT id, sum(tallies) OVER (ORDER BY id) - tallies AS before FROM found
        ) AS summed WHERE before < %s
    ) RETURNING start, keys, calls, used_at, addresses
), sent AS MATERIALIZED (
    SELECT noted.key, min(taken.start) AS start, sum(noted.calls)::bigint AS allowed,
           max(noted.used_at) AS used_at,
           (array_agg(noted.address ORDER BY noted.used_at DESC))[1] AS address
    FROM taken, unnest(taken.keys, taken.calls, taken.used_at, taken.addresses)
    AS noted (key, calls, used_at, address) GROUP BY noted.key
), here AS MATERIALIZED (
    SELECT sent.* FROM sent JOIN apikeys_apikey AS key ON key.id = sent.key
    ORDER BY key.id FOR KEY SHARE OF key
), calls AS (
    SELECT key, start, 'allowed' AS outcome, allowed AS calls FROM here WHERE allowed <> 0
), uses AS (
    SELECT key, to_timestamp(used_at / 1000.0) AS at, address FROM here WHERE used_at > 0
), {_COUNTED}
SELECT count(*) FROM taken
"""  # noqa: S608 - texts of our own
