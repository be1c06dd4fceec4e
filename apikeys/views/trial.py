"""**Test this key**: what would become of a call from an address to a route, and why."""

import uuid

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.access import PortalRequest
from accounts.origin import Origin
from apikeys.forms import TrialForm
from apikeys.models import ApiKey, Contract
from apikeys.trial import is_open, try_call
from portal.lib.http import answers


@answers("GET")
def key_test(request: PortalRequest, key_id: uuid.UUID) -> HttpResponse:
    """The verdict on what the address asks about. Looking changes nothing, so it is a GET."""
    key = get_object_or_404(ApiKey.objects.for_tenant(request.tenant), pk=key_id)
    form = TrialForm(request.GET) if request.GET else TrialForm.of(Origin.of(request).address)
    context = {"key": key, "form": form}
    if form.is_bound and form.is_valid():
        context |= {
            "contract": get_object_or_404(Contract, tenant=request.tenant),
            "call": form.cleaned_data,
            "verdict": try_call(key, **form.call),
            "is_open": is_open(form.call["path"]),
        }
    return render(request, "apikeys/key_test.html", context)
