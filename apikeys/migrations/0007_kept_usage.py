"""Use by the hour and by the day, the hours that were counted in, what people were told of."""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns with defaults of the database's own: a machine door that does not know them writes on.

    The index is made beside the calls that come in meanwhile.
    """

    atomic = False

    dependencies = [("apikeys", "0006_join")]

    operations = [
        migrations.CreateModel(
            name="CountedHour",
            fields=[
                ("start", models.DateTimeField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="KeyNotice",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key",
                        "threshold",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "threshold",
                    models.CharField(
                        choices=[
                            ("near_limit", "near its limit"),
                            ("at_limit", "at its limit"),
                            ("unused", "not used"),
                        ],
                        max_length=16,
                    ),
                ),
                ("told_at", models.DateTimeField()),
                (
                    "key",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="apikeys.apikey",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="keycalls",
            name="most",
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="keycalls",
            name="rolled",
            field=models.BigIntegerField(db_default=0),
        ),
        AddIndexConcurrently(
            model_name="keycalls",
            index=models.Index(
                condition=models.Q(
                    models.Q(("period", "day"), _negated=True),
                    models.Q(("calls", models.F("rolled")), _negated=True),
                ),
                fields=["period", "start"],
                name="calls_to_roll_up",
            ),
        ),
    ]
