"""Changes of contracts, keys and secrets are announced, as those of tenants are."""

from django.db import migrations

# Table → the kind that is announced, and the column that holds the id.
TABLES = {
    "apikeys_contract": ("contract", "tenant_id"),
    "apikeys_apikey": ("key", "id"),
    "apikeys_apikeysecret": ("secret", "id"),
}


class Migration(migrations.Migration):
    """New triggers: code that does not listen is not disturbed by them."""

    dependencies = [("apikeys", "0002_triggers"), ("accounts", "0003_announcements")]

    operations = [
        migrations.RunSQL(
            f"CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION portal_announce('{kind}', '{column}');"
            f"CREATE TRIGGER announce_all AFTER TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION portal_announce_all();",
            f"DROP TRIGGER announce ON {table};DROP TRIGGER announce_all ON {table};",
        )
        for table, (kind, column) in TABLES.items()
    ]
