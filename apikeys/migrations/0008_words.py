"""What contracts, keys and a field of AMQP are called in the panel, to be translated."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Names of pages alone: nothing in the database changes."""

    dependencies = [
        ("apikeys", "0007_kept_usage"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="apikey",
            options={
                "ordering": ["-created_at"],
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
            },
        ),
        migrations.AlterModelOptions(
            name="contract",
            options={"verbose_name": "contract", "verbose_name_plural": "contracts"},
        ),
        migrations.AlterField(
            model_name="amqpaccess",
            name="password_set_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="password set by",
            ),
        ),
        migrations.AlterField(
            model_name="contract",
            name="tenant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="contract",
                serialize=False,
                to="accounts.tenant",
                verbose_name="tenant",
            ),
        ),
    ]
