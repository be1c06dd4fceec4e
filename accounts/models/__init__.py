"""Who: tenants, users, memberships, invitations, authenticators, sessions, audit events."""

from accounts.models.audit import Action, AuditEvent
from accounts.models.authenticators import Authenticator
from accounts.models.counters import Counter, WrongCode
from accounts.models.invitations import Invitation
from accounts.models.nonces import FormNonce
from accounts.models.recovery_codes import RecoveryCode
from accounts.models.sessions import PendingSignIn, Session
from accounts.models.tenants import Membership, Role, Tenant
from accounts.models.users import User

__all__ = [
    "Action",
    "AuditEvent",
    "Authenticator",
    "Counter",
    "FormNonce",
    "Invitation",
    "Membership",
    "PendingSignIn",
    "RecoveryCode",
    "Role",
    "Session",
    "Tenant",
    "User",
    "WrongCode",
]
