"""What staff and people of a tenant do about AMQP.

What outlasts a transaction (the broker's own state) is done in steps under a lock, each of them
committed when it is done. So these acts are not atomic as a whole: what stopped in the middle
says where, and is finished by doing it again.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError, connection, transaction

from accounts.access import require_role
from accounts.audit import record
from accounts.models import Action, Tenant, User
from accounts.notices import notify, people_of
from accounts.origin import Origin
from apikeys.amqp import steps
from apikeys.amqp.broker import Broker, BrokerAway, BrokerRefused, broker, is_configured
from apikeys.models import AmqpAccess, AmqpRequest, AmqpState, AmqpStep, Step
from apikeys.services import KEY_ROLES
from portal.lib import clock

PASSWORD_BYTES = 32
LOCK = 0x416D7170  # the first half of the advisory locks' keys; the second is the tenant's


@dataclass(frozen=True)
class IssuedPassword:
    """An access and its password, which is known in this answer and nowhere else.

    `is_cut_off` is whether what had signed in with the one before was disconnected.
    """

    access: AmqpAccess
    password: str
    is_cut_off: bool = True


class NotConfigured(Exception):
    """There is no broker: RABBITMQ_MANAGEMENT_URL is not set."""


class Busy(Exception):
    """Somebody else, or the worker, is at this tenant's access just now."""


class WrongState(Exception):
    """The act does not fit what became of the access meanwhile."""

    def __init__(self, access: AmqpAccess) -> None:
        super().__init__(f"the access is {access.state}")
        self.access = access


class Stopped(Exception):
    """A step could not be done. The ones before it are done, and stay so."""

    def __init__(self, step: Step, why: Exception) -> None:
        super().__init__(f"{step}: {why}")
        self.step = step
        self.why = why


def access_of(tenant: Tenant) -> AmqpAccess:
    """The tenant's access; a new one, not saved, where there was never any."""
    found = AmqpAccess.objects.select_related("tenant", "requested_by").filter(tenant=tenant)
    return found.first() or AmqpAccess(tenant=tenant)


@transaction.atomic
def request_amqp(*, tenant: Tenant, what: AmqpRequest, actor: User, origin: Origin) -> bool:
    """Ask staff, once: asking again while they have not answered changes and records nothing.

    Gives whether it was asked just now. WrongState where it is not to be had: access that is
    there, or a password for access that is not.
    """
    require_role(actor, tenant, KEY_ROLES)
    access = _locked(tenant)
    if (what == AmqpRequest.PASSWORD) != (access.provisioned_at is not None):
        raise WrongState(access)
    if access.request == what:
        return False
    access.request, access.requested_at, access.requested_by = what, clock.now(), actor
    access.save(update_fields=["request", "requested_at", "requested_by"])
    record(
        Action.AMQP_REQUESTED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=access,
        what=str(what),
    )
    return True


def provision(*, tenant: Tenant, actor: User, origin: Origin) -> IssuedPassword:
    """Take the steps that are not done yet, and set a password: whole, or Stopped at a step."""
    with _alone_at(tenant) as access, broker() as asked:
        if access.state not in {AmqpState.NONE, AmqpState.UNFINISHED}:
            raise WrongState(access)
        AmqpAccess.objects.get_or_create(tenant=tenant)  # in the panel's list from now on
        done = {step.name for step in access.steps if step.done_at}
        for step, act in steps.BEFORE_THE_PASSWORD.items():
            if step not in done:
                _take(step, access, partial(act, asked, access))
        issued = _issue(asked, access, Action.AMQP_PROVISIONED, actor, origin)
        with suppress(Stopped):  # the worker goes on with it
            _bring_in_step(asked, access)
    return issued


def renew_password(*, tenant: Tenant, actor: User, origin: Origin) -> IssuedPassword:
    """A new password; the old one is dead at once, and whoever came in with it is cut off."""
    with _alone_at(tenant) as access, broker() as asked:
        if access.state not in {AmqpState.READY, AmqpState.SUSPENDED}:
            raise WrongState(access)
        issued = _issue(asked, access, Action.AMQP_PASSWORD_SET, actor, origin)
        try:
            steps.close_connections(asked, access)
        except (BrokerAway, BrokerRefused):
            # It is in force all the same, and must not be lost over this.
            return IssuedPassword(access, issued.password, is_cut_off=False)
    return issued


@transaction.atomic
def set_amqp_active(*, tenant: Tenant, is_active: bool, actor: User, origin: Origin) -> None:
    """Suspend or reactivate what is provisioned. `keep_in_step` brings it to the broker."""
    access = _locked(tenant)
    if access.state not in {AmqpState.READY, AmqpState.SUSPENDED}:
        raise WrongState(access)
    if (access.suspended_at is None) == is_active:
        return
    access.suspended_at = None if is_active else clock.now()
    access.save(update_fields=["suspended_at"])
    action = Action.AMQP_REACTIVATED if is_active else Action.AMQP_SUSPENDED
    record(action, actor=actor, origin=origin, tenant=tenant, target=access)


@transaction.atomic
def remove_amqp(*, tenant: Tenant, reason: str, actor: User, origin: Origin) -> None:
    """Decide that it goes, queues and all. `keep_in_step` takes it from the broker."""
    access = _locked(tenant)
    if access.state in {AmqpState.NONE, AmqpState.REMOVING}:
        raise WrongState(access)
    access.removal_asked_at = clock.now()
    access.save(update_fields=["removal_asked_at"])
    record(
        Action.AMQP_REMOVED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=access,
        reason=reason,
    )


def keep_in_step(tenant: Tenant) -> bool:
    """Bring to the broker what was decided here. False where that could not be done now.

    What could not is written down with its reason, and done by the worker within a minute of the
    broker's return.
    """
    try:
        with _alone_at(tenant) as access, broker() as asked:
            _bring_in_step(asked, access)
    except (NotConfigured, Busy, Stopped):
        return access_of(tenant).is_in_step
    return True


def _bring_in_step(asked: Broker, access: AmqpAccess) -> None:
    if access.removal_asked_at:
        _take(Step.REMOVAL, access, partial(steps.remove, asked, access))
        _forget(access)
    elif access.provisioned_at and access.wants_shut:
        _take(Step.SHUT, access, partial(steps.shut, asked, access))
        _told(access, is_shut=True)
    elif access.provisioned_at and access.is_shut:
        _take(Step.OPEN, access, partial(steps.open_again, asked, access))
        _told(access, is_shut=False)


@contextmanager
def _alone_at(tenant: Tenant) -> Iterator[AmqpAccess]:
    """The access as it is now, while nobody else touches it on the broker; else Busy.

    The lock is the database session's: it is gone with a process that dies.
    """
    if not is_configured():
        raise NotConfigured
    key = (LOCK, str(tenant.pk))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key)
        if cursor.fetchone() != (True,):
            raise Busy
    try:
        yield access_of(Tenant.objects.get(pk=tenant.pk))
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", key)


def _take(step: Step, access: AmqpAccess, act: Callable[[], None]) -> None:
    """Do it and commit that it is done; or write down why not, and stop."""
    try:
        act()
    except (BrokerAway, BrokerRefused) as error:
        if isinstance(error, BrokerRefused) and not access.provisioned_at:
            # It may lack what an earlier step had made: next time all of them are taken again.
            AmqpStep.objects.filter(tenant=access.tenant).update(done_at=None)
        AmqpStep.mark_failed(access.tenant, step, str(error))
        raise Stopped(step, error) from error
    AmqpStep.mark_done(access.tenant, step)


def _issue(
    asked: Broker, access: AmqpAccess, action: Action, actor: User, origin: Origin
) -> IssuedPassword:
    """Set a password on the broker, and then write that one was set: never the other way round."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        steps.set_password(asked, access, password)
    except (BrokerAway, BrokerRefused) as error:
        AmqpStep.mark_failed(access.tenant, Step.PASSWORD, str(error))
        raise Stopped(Step.PASSWORD, error) from error
    with transaction.atomic():
        stored = _locked(access.tenant)
        now = clock.now()
        stored.provisioned_at = stored.provisioned_at or now
        stored.password_set_at, stored.password_set_by = now, actor
        stored.request, stored.requested_at, stored.requested_by = "", None, None
        stored.save(
            update_fields=[
                "provisioned_at",
                "password_set_at",
                "password_set_by",
                "request",
                "requested_at",
                "requested_by",
            ]
        )
        AmqpStep.mark_done(access.tenant, Step.PASSWORD)
        record(action, actor=actor, origin=origin, tenant=access.tenant, target=stored)
        _tell(stored, action, actor, origin)
    access.refresh_from_db()
    return IssuedPassword(stored, password)


def _locked(tenant: Tenant) -> AmqpAccess:
    """The access, locked; made where there was none, unless what follows is refused."""
    AmqpAccess.objects.get_or_create(tenant=tenant)
    found = AmqpAccess.objects.select_for_update(of=("self",)).select_related("tenant")
    return found.get(tenant=tenant)


def _tell(access: AmqpAccess, action: Action, actor: User, origin: Origin) -> None:
    """Whoever looks after keys hears that a password is on its way, or that one was replaced."""
    notify(
        "amqp",
        users=people_of(access.tenant, *KEY_ROLES),
        origin=origin,
        action=str(action),
        tenant=access.tenant.name,
        username=access.username,
        by=actor.username,
    )


def _told(access: AmqpAccess, *, is_shut: bool) -> None:
    AmqpAccess.objects.filter(tenant=access.tenant).update(is_shut=is_shut)
    access.is_shut = is_shut


@transaction.atomic
def _forget(access: AmqpAccess) -> None:
    """Nothing is left on the broker, and so nothing here: the audit trail knows what was."""
    AmqpStep.objects.filter(tenant=access.tenant).delete()
    AmqpAccess.objects.filter(tenant=access.tenant).delete()
