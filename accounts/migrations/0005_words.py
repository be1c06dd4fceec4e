"""What models and their fields are called on pages, to be translated."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.models.audit
import portal.lib.clock


class Migration(migrations.Migration):
    """Names of pages alone: nothing in the database changes."""

    dependencies = [
        ("accounts", "0004_action_choices"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditevent",
            options={
                "ordering": ["-at", "-pk"],
                "verbose_name": "audit event",
                "verbose_name_plural": "audit events",
            },
        ),
        migrations.AlterModelOptions(
            name="invitation",
            options={
                "ordering": ["-sent_at"],
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
            },
        ),
        migrations.AlterModelOptions(
            name="tenant",
            options={
                "ordering": ["name"],
                "verbose_name": "tenant",
                "verbose_name_plural": "tenants",
            },
        ),
        migrations.AlterModelOptions(
            name="user",
            options={
                "ordering": ["username"],
                "verbose_name": "user",
                "verbose_name_plural": "users",
            },
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="action",
            field=models.CharField(
                choices=accounts.models.audit.action_choices, max_length=40, verbose_name="what"
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="actor_id",
            field=models.UUIDField(null=True, verbose_name="actor ID"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="actor_name",
            field=models.CharField(blank=True, max_length=120, verbose_name="who"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="address",
            field=models.GenericIPAddressField(null=True, verbose_name="address"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="agent",
            field=models.CharField(blank=True, max_length=300, verbose_name="agent"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="at",
            field=models.DateTimeField(default=portal.lib.clock.now, verbose_name="when"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="detail",
            field=models.JSONField(default=dict, verbose_name="detail"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="target_id",
            field=models.UUIDField(null=True, verbose_name="target ID"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="target_name",
            field=models.CharField(blank=True, max_length=254, verbose_name="target"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="target_type",
            field=models.CharField(blank=True, max_length=40, verbose_name="kind of target"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="tenant_id",
            field=models.UUIDField(null=True, verbose_name="tenant ID"),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="accepted_at",
            field=models.DateTimeField(null=True, verbose_name="accepted at"),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="invited_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="invited by",
            ),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="revoked_at",
            field=models.DateTimeField(null=True, verbose_name="revoked at"),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="invitations",
                to="accounts.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AlterField(
            model_name="membership",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="accounts.tenant",
                verbose_name="tenant",
            ),
        ),
    ]
