"""What a refused call means and what helps: one cure for each `code` of the machine door."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Cure:
    """status: what the code comes with. cause and cure: sentences for people."""

    code: str
    status: int
    cause: Promise
    cure: Promise


# In the order in which the door checks.
CURES = (
    Cure(
        "key_missing",
        401,
        _("The call carries no API key. In the address of a REST call a key does not count."),
        _(
            "Send the header X-API-Key. For a WebSocket, where browsers cannot set headers, put "
            "the key into the address: ?api_key=…"
        ),
    ),
    Cure(
        "key_ambiguous",
        401,
        _("The call carries more than one API key, be they equal."),
        _(
            "Send one. Often a proxy or a library adds the header a second time; a WebSocket may "
            "have the key in its header or in its address, not in both."
        ),
    ),
    Cure(
        "key_invalid",
        403,
        _("No API key like this was ever made here."),
        _(
            "Copy it whole: vbk_ and 24 letters and digits, without quotation marks or spaces. "
            "If it was not kept, rotate the key: its new secret is shown once."
        ),
    ),
    Cure(
        "key_revoked",
        403,
        _("The API key was revoked, or rotated: then its new secret works and this one does not."),
        _(
            "Find the program that still has the old secret; API Access shows the addresses that "
            "it calls from. A revoked key does not come back: create another."
        ),
    ),
    Cure(
        "tenant_suspended",
        403,
        _("The account that the API key belongs to is suspended."),
        _("Write to your account manager."),
    ),
    Cure(
        "ip_not_allowed",
        403,
        _("The address that the call came from is not in the key's IP allowlist."),
        _(
            "The answer names the address that was seen. Add it under Edit on the key's page; a "
            "change is in effect within a second. Programs behind NAT, or with IPv6 beside IPv4, "
            "often call from another address than you expect."
        ),
    ),
    Cure(
        "sport_not_allowed",
        403,
        _("The address names a sport that is not in the key's sport allowlist."),
        _("Check the address: /cs2/v1/… For another sport write to your account manager."),
    ),
    Cure(
        "not_found",
        404,
        _("There is nothing at this address, or no such match, team or player."),
        _(
            "Compare the address with the documentation, letter by letter: // and encoded letters "
            "are not cleared up. A WebSocket's address answers nothing but WebSockets."
        ),
    ),
    Cure(
        "scope_not_granted",
        403,
        _("The key lacks the scope that this address asks for; the answer names it."),
        _(
            "If the contract holds the scope, create a key with it: the key's page shows “n of m”. "
            "If not, write to your account manager to extend the contract."
        ),
    ),
    Cure(
        "method_not_allowed",
        405,
        _("The address exists, but cannot be asked in this way."),
        _("Use one of the methods that the answer lists in its header Allow."),
    ),
    Cure(
        "rate_limited",
        429,
        _("More calls came with this key in 60 seconds than the contract allows."),
        _(
            "Wait as long as the header Retry-After says. RateLimit tells with every answer how "
            "many calls are left; a WebSocket or AMQP brings changes without asking for them."
        ),
    ),
    Cure(
        "too_many_streams",
        429,
        _("As many WebSockets are open as the contract allows."),
        _("Close those that are not in use; one stream carries all matches."),
    ),
    Cure(
        "not_acceptable",
        406,
        _("The call asks for a format that the feed does not have."),
        _("Send Accept: application/json or application/xml, or leave the header out."),
    ),
    Cure(
        "unavailable",
        503,
        _("The key could not be checked just now. Then nobody is let in."),
        _("Try again after a second, and go on trying with growing pauses."),
    ),
)
