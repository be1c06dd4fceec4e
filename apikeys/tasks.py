"""What the worker does for API access: see accounts.tasks for how it is run."""

from procrastinate.contrib.django import app

from apikeys.amqp.upkeep import look_after_amqp


@app.periodic(cron="* * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.keep_amqp_in_step")
def keep_amqp_in_step(timestamp: int) -> None:
    """Suspensions and removals that the broker has not heard of yet; its state for the pages."""
    look_after_amqp()
