"""How keys are used, and in which processes a change is in effect."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

# What a crash of Postgres may forget: it is said again within a second.
UNLOGGED = ["apikeys_announcement", "apikeys_doorprocess", "apikeys_acknowledgement"]

# As it was, and it keeps the last announcement of each row with its moment. Secrets are left out,
# because a rotation changes the key as well; and so are keys just made, which nobody remembers.
# With the owner's rights, because the application's role gets its own after the migration.
ANNOUNCE = """
CREATE OR REPLACE FUNCTION portal_announce() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
    IF present IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM pg_notify('portal_changes', format('%s:%s:%s', TG_ARGV[0], present, NEW.version));
    IF TG_ARGV[0] <> 'secret' AND NOT (TG_ARGV[0] = 'key' AND TG_OP = 'INSERT') THEN
        INSERT INTO apikeys_announcement (kind, name, version, at)
        VALUES (TG_ARGV[0], present, NEW.version, clock_timestamp())
        ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, at = excluded.at;
    END IF;
    RETURN NULL;
END $$;
"""

ANNOUNCE_BEFORE = """
CREATE OR REPLACE FUNCTION portal_announce() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF earlier IS DISTINCT FROM present AND earlier IS NOT NULL THEN
        PERFORM pg_notify('portal_changes', format('%s:%s:0', TG_ARGV[0], earlier));
    END IF;
    IF present IS NOT NULL THEN
        PERFORM pg_notify('portal_changes', format('%s:%s:%s', TG_ARGV[0], present, NEW.version));
    END IF;
    RETURN NULL;
END $$;
"""

CANARY = """
CREATE TRIGGER set_version BEFORE INSERT OR UPDATE ON apikeys_canary
    FOR EACH ROW EXECUTE FUNCTION portal_set_version();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON apikeys_canary
    FOR EACH ROW EXECUTE FUNCTION portal_announce('key', 'id');
"""


class Migration(migrations.Migration):
    """New tables, and a function that does one thing more: older code is not disturbed."""

    dependencies = [("apikeys", "0003_announcements")]

    operations = [
        migrations.CreateModel(
            name="Acknowledgement",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind",
                        "name",
                        "process",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("name", models.CharField(max_length=40)),
                ("process", models.UUIDField()),
                ("version", models.BigIntegerField()),
                ("heard_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Announcement",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind",
                        "name",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("name", models.CharField(max_length=40)),
                ("version", models.BigIntegerField()),
                ("at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="DoorProcess",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("counted_until", models.DateTimeField()),
                ("is_remembering", models.BooleanField()),
                ("facts", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="PropagationRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(db_index=True)),
                ("processes", models.PositiveIntegerField()),
                ("reached", models.PositiveIntegerField()),
                ("seconds", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SecretUse",
            fields=[
                (
                    "secret",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="apikeys.apikeysecret",
                    ),
                ),
                ("last_used_at", models.DateTimeField()),
                ("last_address", models.GenericIPAddressField(null=True)),
                ("calls", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="UsageWriter",
            fields=[
                ("process", models.UUIDField(primary_key=True, serialize=False)),
                ("batch", models.BigIntegerField()),
                ("written_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Canary",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("is_only", models.BooleanField(default=True, unique=True)),
                ("changed_at", models.DateTimeField()),
                ("version", models.BigIntegerField(default=1, editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("is_only", True)), name="one_canary")
                ],
            },
        ),
        migrations.CreateModel(
            name="KeyCalls",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key",
                        "period",
                        "start",
                        "outcome",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "period",
                    models.CharField(
                        choices=[("minute", "minute"), ("hour", "hour"), ("day", "day")],
                        max_length=6,
                    ),
                ),
                ("start", models.DateTimeField()),
                ("outcome", models.CharField(max_length=32)),
                ("calls", models.BigIntegerField()),
                (
                    "key",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calls",
                        to="apikeys.apikey",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["period", "start"], name="calls_by_age")],
            },
        ),
        migrations.CreateModel(
            name="KeyRefusal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("outcome", models.CharField(max_length=32)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("at", models.DateTimeField()),
                ("method", models.CharField(max_length=16)),
                ("path", models.CharField(max_length=200)),
                ("detail", models.CharField(max_length=400)),
                ("calls", models.BigIntegerField()),
                (
                    "key",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="refusals",
                        to="apikeys.apikey",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("key", "outcome", "address"),
                        name="one_refusal_per_reason_and_address",
                    )
                ],
            },
        ),
        *[
            migrations.RunSQL(
                f"ALTER TABLE {table} SET UNLOGGED", f"ALTER TABLE {table} SET LOGGED"
            )
            for table in UNLOGGED
        ],
        migrations.RunSQL(ANNOUNCE, ANNOUNCE_BEFORE),
        migrations.RunSQL(
            CANARY,
            "DROP TRIGGER set_version ON apikeys_canary; DROP TRIGGER announce ON apikeys_canary;",
        ),
    ]
