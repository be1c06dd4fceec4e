"""What the worker does for API access: see accounts.tasks for how it is run."""

from procrastinate.contrib.django import app

from apikeys.amqp.upkeep import look_after_amqp
from apikeys.upkeep import forget_propagation, forget_usage, measure_propagation


@app.periodic(cron="* * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.keep_amqp_in_step")
def keep_amqp_in_step(timestamp: int) -> None:
    """Suspensions and removals that the broker has not heard of yet; its state for the pages."""
    look_after_amqp()


@app.periodic(cron="* * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.fly_canary")
def fly_canary(timestamp: int) -> None:
    """How long a change takes to reach every process of the machine door, measured."""
    measure_propagation()


@app.periodic(cron="23 * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.forget_use")
def forget_use(timestamp: int) -> None:
    """Counts by the minute, announcements and processes that nobody asks about any more."""
    forget_usage()
    forget_propagation()
