"""Versions are set by the database, and audit events are append-only, whoever is asking."""

from django.db import migrations

VERSIONS = """
CREATE FUNCTION portal_set_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE OLD.version + 1 END;
    RETURN NEW;
END $$;

CREATE TRIGGER set_version BEFORE INSERT OR UPDATE ON accounts_tenant
    FOR EACH ROW EXECUTE FUNCTION portal_set_version();
"""

AUDIT = """
CREATE FUNCTION portal_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Retention is the one exception: the owner's, by `prune_audit`, in a transaction that says so.
    IF TG_OP = 'DELETE' AND current_setting('portal.retention', true) = 'on'
       AND pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_change();
"""


class Migration(migrations.Migration):
    """Triggers of the first schema."""

    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(
            VERSIONS,
            "DROP TRIGGER set_version ON accounts_tenant; DROP FUNCTION portal_set_version();",
        ),
        migrations.RunSQL(
            AUDIT,
            "DROP TRIGGER refuse_change ON accounts_auditevent;"
            "DROP TRIGGER refuse_truncate ON accounts_auditevent;"
            "DROP FUNCTION portal_refuse_change();",
        ),
        migrations.RunSQL(
            # Counting tries is not worth a write-ahead log; a crash may forget it.
            "ALTER TABLE accounts_counter SET UNLOGGED",
            "ALTER TABLE accounts_counter SET LOGGED",
        ),
    ]
