"""The choices of an event's action are asked of the model: a new action needs no migration."""

from django.db import migrations, models

import accounts.models.audit


class Migration(migrations.Migration):
    """Choices are words of pages alone: nothing in the database changes."""

    dependencies = [("accounts", "0003_announcements")]

    operations = [
        migrations.AlterField(
            model_name="auditevent",
            name="action",
            field=models.CharField(choices=accounts.models.audit.action_choices, max_length=40),
        )
    ]
