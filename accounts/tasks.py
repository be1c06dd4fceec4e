"""What the worker does. It runs beside the pages: `manage.py procrastinate worker`."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.urls import reverse
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts.mail import compose
from accounts.models import Counter, PendingSignIn, Role, User, WrongCode
from accounts.services.signing_in import PENDING_LIFETIME
from accounts.sessions import SessionStore
from portal.lib import clock

# 30 s after the first failure, 30 s more after each: a mail server that is away for an hour costs
# a few tries, and one that is away for a day and a half loses nothing either.
RETRIES = RetryStrategy(max_attempts=100, wait=30, linear_wait=30)


@app.task(queue="mail", retry=RETRIES, name="accounts.tasks.send_notice")
def send_notice(name: str, user_id: str, context: dict[str, Any]) -> None:
    """Send one security mail, to the address and in the language that the user has by now."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    own_page = reverse("staff_profile:show" if user.is_staff else "profile:show")
    context = {
        **context,
        "user": user,
        "at": dt.datetime.fromisoformat(context["at"]),
        "role": _role_label(context.get("role", "")),
        "profile_url": settings.PORTAL_BASE_URL + own_page,
    }
    compose(
        f"notices/{name}",
        to=user.email,
        context=context,
        language=user.language,
        time_zone=user.time_zone,
    ).send()


def _role_label(code: str) -> Any:
    """A role's name, said in the reader's language when the mail is written; else what it was."""
    return Role(code).label if code in Role.values else code


@app.periodic(cron="17 * * * *")
@app.task(queue="upkeep", name="accounts.tasks.forget_what_is_over")
def forget_what_is_over(timestamp: int) -> None:
    """Delete sessions, sign-ins without their code, counters and wrong codes that are over."""
    SessionStore.clear_expired()
    PendingSignIn.objects.filter(created_at__lte=clock.now() - PENDING_LIFETIME).delete()
    Counter.objects.filter(expires_at__lte=clock.now()).delete()
    WrongCode.objects.filter(at__lt=clock.now() - dt.timedelta(days=2)).delete()


@app.periodic(cron="*/5 * * * *")
@app.task(queue="upkeep", name="accounts.tasks.take_up_again")
async def take_up_again(timestamp: int) -> None:
    """Put jobs back whose worker died over them: a mail twice is better than none."""
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)
