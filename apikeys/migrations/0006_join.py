"""AMQP and usage were made side by side: from here on there is one line again."""

from django.db import migrations


class Migration(migrations.Migration):
    """Nothing to do."""

    dependencies = [("apikeys", "0004_amqp"), ("apikeys", "0005_usage")]

    operations = []
