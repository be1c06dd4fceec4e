"""Versions of contracts, keys and secrets are set by the database, never by the application."""

from django.db import migrations

TABLES = ["apikeys_contract", "apikeys_apikey", "apikeys_apikeysecret"]


class Migration(migrations.Migration):
    """Triggers of the first schema."""

    dependencies = [("apikeys", "0001_initial"), ("accounts", "0002_triggers")]

    operations = [
        migrations.RunSQL(
            f"CREATE TRIGGER set_version BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION portal_set_version();",
            f"DROP TRIGGER set_version ON {table};",
        )
        for table in TABLES
    ]
