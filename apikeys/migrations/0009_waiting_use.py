"""Use of many keys waits in rows of many, to be merged later."""

import django.contrib.postgres.fields
from django.db import migrations, models

# Ids and times are chance: to compress them takes longer than to write them.
ARRAYS = ["keys", "calls", "used_at", "addresses"]
STORAGE = ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTERNAL" for name in ARRAYS)


class Migration(migrations.Migration):
    """A new table: a machine door that does not know it writes on as before."""

    dependencies = [("apikeys", "0008_words")]

    operations = [
        migrations.CreateModel(
            name="WaitingUse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slice", models.SmallIntegerField()),
                ("start", models.DateTimeField()),
                (
                    "keys",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), size=None
                    ),
                ),
                (
                    "calls",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), size=None
                    ),
                ),
                (
                    "used_at",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), size=None
                    ),
                ),
                (
                    "addresses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.GenericIPAddressField(null=True), size=None
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["slice", "start"], name="waiting_use_by_slice")],
            },
        ),
        migrations.RunSQL(f"ALTER TABLE apikeys_waitinguse {STORAGE}", migrations.RunSQL.noop),
    ]
