"""Who: tenants, users, memberships, invitations, authenticators, sessions, audit events."""

from accounts.models.audit import Action, AuditEvent
from accounts.models.authenticators import Authenticator
from accounts.models.invitations import Invitation
from accounts.models.nonces import FormNonce
from accounts.models.sessions import PendingSignIn, Session
from accounts.models.tenants import Membership, Role, Tenant
from accounts.models.users import User

__all__ = [
    "Action",
    "AuditEvent",
    "Authenticator",
    "FormNonce",
    "Invitation",
    "Membership",
    "PendingSignIn",
    "Role",
    "Session",
    "Tenant",
    "User",
]
