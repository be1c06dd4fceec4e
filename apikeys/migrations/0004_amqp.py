"""Each tenant's access to the messaging feed, and how far its provisioning has come."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """New tables: code that does not know them is not disturbed."""

    dependencies = [
        ("accounts", "0004_action_choices"),
        ("apikeys", "0003_announcements"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AmqpAccess",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="amqp",
                        serialize=False,
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "request",
                    models.CharField(
                        blank=True,
                        choices=[("access", "access"), ("password", "a new password")],
                        max_length=16,
                        verbose_name="asked for",
                    ),
                ),
                ("requested_at", models.DateTimeField(null=True, verbose_name="asked at")),
                ("provisioned_at", models.DateTimeField(null=True, verbose_name="provisioned at")),
                (
                    "password_set_at",
                    models.DateTimeField(null=True, verbose_name="password set at"),
                ),
                ("suspended_at", models.DateTimeField(null=True, verbose_name="suspended at")),
                (
                    "removal_asked_at",
                    models.DateTimeField(null=True, verbose_name="removal asked at"),
                ),
                ("is_shut", models.BooleanField(default=False)),
                ("seen", models.JSONField(null=True)),
                ("seen_at", models.DateTimeField(null=True)),
                (
                    "password_set_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "AMQP access",
                "verbose_name_plural": "AMQP access",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("request__in", ["", "access", "password"])),
                        name="amqp_request_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("provisioned_at", None),
                            ("password_set_at__isnull", False),
                            _connector="OR",
                        ),
                        name="amqp_is_provisioned_with_a_password",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AmqpStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        choices=[
                            ("vhost", "Virtual host"),
                            ("exchange", "Exchange"),
                            ("user", "User, without a password"),
                            ("permissions", "Permissions"),
                            ("limits", "Limits"),
                            ("password", "Password"),
                            ("shut", "Refuse connections and close the open ones"),
                            ("open", "Allow connections again"),
                            ("removal", "Remove user and virtual host"),
                        ],
                        max_length=16,
                    ),
                ),
                ("done_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("failure", models.CharField(blank=True, max_length=200)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "name"), name="one_amqp_step_per_tenant"
                    )
                ],
            },
        ),
    ]
