"""One's sessions: ending one, ending all the others. They are listed on the profile."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.access import PortalRequest, own_page, under_own_roof
from accounts.origin import Origin
from accounts.services import sessions as services
from portal.lib.http import answers


@under_own_roof
@answers("POST")
def session_end(request: PortalRequest, session_id: uuid.UUID) -> HttpResponse:
    """**Sign out** one session."""
    if services.end_session(user=request.user, session_id=session_id, origin=Origin.of(request)):
        messages.success(request, _("That session is over."))
    else:
        messages.info(request, _("That session was over already."))
    return redirect(own_page(request, "profile:show"))


@under_own_roof
@answers("POST")
def session_end_others(request: PortalRequest) -> HttpResponse:
    """**Sign out everywhere else**."""
    ended = services.end_other_sessions(
        user=request.user,
        current_key=request.session.session_key,
        origin=Origin.of(request),
    )
    words = ngettext(
        "%(count)d other session is over.", "%(count)d other sessions are over.", ended
    )
    messages.success(request, words % {"count": ended})
    return redirect(own_page(request, "profile:show"))
