"""The database counts revisions, keeps their history and announces them, whoever makes a change."""

from django.db import migrations

IS_ON = """
-- What a type is for a tenant, for lists; `markets.effective` says the same in Python.
-- Of a tenant without a row, default_on and overrides are NULL: everything is on.
CREATE FUNCTION markets_is_on(
    default_on boolean, overrides jsonb, code text, retired_at timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT retired_at IS NULL AND coalesce((overrides ->> code)::boolean, default_on, true)
$$;
"""

CHOICES = """
ALTER TABLE markets_tenantmarkets ADD CONSTRAINT overrides_are_on_or_off CHECK (
    jsonb_typeof(overrides) = 'object'
    AND NOT jsonb_path_exists(overrides, '$.* ? (@.type() != "boolean")')
);

CREATE FUNCTION markets_set_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- A row that comes again goes on counting where its history ends.
        NEW.version := 1 + coalesce(
            (SELECT max(number) FROM markets_revision WHERE tenant_id = NEW.tenant_id), 0
        );
    ELSE
        NEW.version := OLD.version + 1;
        IF NEW.changed_at = OLD.changed_at THEN
            NEW.changed_at := now();
            NEW.changed_by_id := NULL;
            NEW.changed_by_name := '';
            NEW.act := 'by_hand';
            NEW.restored := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION markets_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    default_before boolean := true;
    overrides_before jsonb := '{}';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        default_before := OLD.default_on;
        overrides_before := OLD.overrides;
    END IF;
    INSERT INTO markets_revision (
        tenant_id, number, at, act, actor_id, actor_name, restored, default_on, overrides,
        went_on, went_off
    )
    SELECT NEW.tenant_id, NEW.version, NEW.changed_at, NEW.act, NEW.changed_by_id,
           NEW.changed_by_name, NEW.restored, NEW.default_on, NEW.overrides,
           coalesce(array_agg(code ORDER BY code COLLATE "C") FILTER (WHERE is_on > was_on), '{}'),
           coalesce(array_agg(code ORDER BY code COLLATE "C") FILTER (WHERE is_on < was_on), '{}')
    FROM (
        SELECT code,
               markets_is_on(default_before, overrides_before, code, retired_at) AS was_on,
               markets_is_on(NEW.default_on, NEW.overrides, code, retired_at) AS is_on
        FROM markets_markettype
    ) AS types;
    RETURN NULL;
END $$;

CREATE TRIGGER set_version BEFORE INSERT OR UPDATE ON markets_tenantmarkets
    FOR EACH ROW EXECUTE FUNCTION markets_set_revision();
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE ON markets_tenantmarkets
    FOR EACH ROW EXECUTE FUNCTION markets_keep_history();
"""

CATALOGUE = """
CREATE SEQUENCE markets_catalogue_version;

CREATE FUNCTION markets_set_catalogue_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval('markets_catalogue_version');
    RETURN NEW;
END $$;

CREATE TRIGGER set_version BEFORE INSERT OR UPDATE ON markets_catalogue
    FOR EACH ROW EXECUTE FUNCTION markets_set_catalogue_version();

CREATE FUNCTION markets_move_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO markets_catalogue (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1;
    RETURN NULL;
END $$;
"""
CATALOGUE_TABLES = ["markets_sport", "markets_group", "markets_markettype"]

# Table → the kind that is announced, and the column that holds the id.
ANNOUNCED = {
    "markets_tenantmarkets": ("markets", "tenant_id"),
    "markets_catalogue": ("catalogue", "id"),
}


class Migration(migrations.Migration):
    """Triggers of the first schema."""

    dependencies = [("markets", "0001_initial"), ("accounts", "0003_announcements")]

    operations = [
        migrations.RunSQL(IS_ON, "DROP FUNCTION markets_is_on(boolean, jsonb, text, timestamptz);"),
        migrations.RunSQL(
            CHOICES,
            "DROP TRIGGER keep_history ON markets_tenantmarkets;"
            "DROP TRIGGER set_version ON markets_tenantmarkets;"
            "DROP FUNCTION markets_keep_history();"
            "DROP FUNCTION markets_set_revision();"
            "ALTER TABLE markets_tenantmarkets DROP CONSTRAINT overrides_are_on_or_off;",
        ),
        migrations.RunSQL(
            CATALOGUE,
            "DROP FUNCTION markets_move_catalogue();"
            "DROP TRIGGER set_version ON markets_catalogue;"
            "DROP FUNCTION markets_set_catalogue_version();"
            "DROP SEQUENCE markets_catalogue_version;",
        ),
        *[
            migrations.RunSQL(
                "CREATE TRIGGER move_catalogue AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE "
                f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION markets_move_catalogue();",
                f"DROP TRIGGER move_catalogue ON {table};",
            )
            for table in CATALOGUE_TABLES
        ],
        *[
            migrations.RunSQL(
                f"CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION portal_announce('{kind}', '{column}');"
                f"CREATE TRIGGER announce_all AFTER TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION portal_announce_all();",
                f"DROP TRIGGER announce ON {table};DROP TRIGGER announce_all ON {table};",
            )
            for table, (kind, column) in ANNOUNCED.items()
        ],
    ]
