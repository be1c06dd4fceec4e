"""The database itself announces every change that a verdict depends on, whoever makes it.

On the channel `portal_changes`: `kind:id:version`, or `kind:id:0` for a row that is gone, or `*`
where a whole table was emptied. No more than that: a payload ends at 8,000 bytes.
"""

from django.db import migrations

ANNOUNCE = """
-- Arguments of the triggers: the kind, and the column that holds the id.
CREATE FUNCTION portal_announce() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earlier text;
    present text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        earlier := to_jsonb(OLD) ->> TG_ARGV[1];
    END IF;
    IF TG_OP <> 'DELETE' THEN
        present := to_jsonb(NEW) ->> TG_ARGV[1];
    END IF;
    -- A row that comes again under the id of one that is gone counts its versions from 1.
    IF earlier IS DISTINCT FROM present AND earlier IS NOT NULL THEN
        PERFORM pg_notify('portal_changes', format('%s:%s:0', TG_ARGV[0], earlier));
    END IF;
    IF present IS NOT NULL THEN
        PERFORM pg_notify('portal_changes', format('%s:%s:%s', TG_ARGV[0], present, NEW.version));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION portal_announce_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('portal_changes', '*');
    RETURN NULL;
END $$;

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON accounts_tenant
    FOR EACH ROW EXECUTE FUNCTION portal_announce('tenant', 'id');
CREATE TRIGGER announce_all AFTER TRUNCATE ON accounts_tenant
    FOR EACH STATEMENT EXECUTE FUNCTION portal_announce_all();
"""


class Migration(migrations.Migration):
    """New triggers: code that does not listen is not disturbed by them."""

    dependencies = [("accounts", "0002_triggers")]

    operations = [
        migrations.RunSQL(
            ANNOUNCE,
            "DROP TRIGGER announce ON accounts_tenant;"
            "DROP TRIGGER announce_all ON accounts_tenant;"
            "DROP FUNCTION portal_announce();"
            "DROP FUNCTION portal_announce_all();",
        )
    ]
