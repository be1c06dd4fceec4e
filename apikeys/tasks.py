"""What the worker does for API access: see accounts.tasks for how it is run."""

from procrastinate.contrib.django import app

from apikeys.amqp.upkeep import look_after_amqp
from apikeys.rollup import forget_usage, mark_counted_hours, roll_up
from apikeys.upkeep import forget_propagation, measure_propagation
from apikeys.usage_notices import tell_of_limits, tell_of_unused_keys


@app.periodic(cron="* * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.keep_amqp_in_step")
def keep_amqp_in_step(timestamp: int) -> None:
    """Suspensions and removals that the broker has not heard of yet; its state for the pages."""
    look_after_amqp()


@app.periodic(cron="* * * * *")
@app.task(queue="canary", name="apikeys.tasks.fly_canary")  # else it waits for long jobs
def fly_canary(timestamp: int) -> None:
    """How long a change takes to reach every process of the machine door, measured."""
    measure_propagation()


@app.periodic(cron="*/5 * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.keep_usage")
def keep_usage(timestamp: int) -> None:
    """Calls by the hour and by the day; mails about keys near their limit, or at it."""
    mark_counted_hours()
    roll_up()
    tell_of_limits()


@app.periodic(cron="41 * * * *")
@app.task(queue="upkeep", name="apikeys.tasks.look_for_unused_keys")
def look_for_unused_keys(timestamp: int) -> None:
    """Mails about keys that nobody has used for a long time."""
    tell_of_unused_keys()


@app.periodic(cron="2-59/5 * * * *")  # as often as counts are added on: as many become too old
@app.task(queue="upkeep", name="apikeys.tasks.forget_use")
def forget_use(timestamp: int) -> None:
    """Counts by the minute, announcements and processes that nobody asks about any more."""
    forget_usage()
    forget_propagation()
