"""Where an act came from: what services and audit take instead of a request."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from accounts.agents import describe_agent
from portal.lib.address import client_address


@dataclass(frozen=True)
class Origin:
    """An address (or None where it cannot be read) and a user agent, as text."""

    address: str | None = None
    agent: str = ""

    @property
    def browser(self) -> str:
        """The agent in readable form."""
        return describe_agent(self.agent)

    @classmethod
    def of(cls, request: HttpRequest) -> "Origin":
        """The caller of a request, by the one rule for people and machines."""
        found = client_address(
            request.META.get("REMOTE_ADDR"),
            [request.META.get("HTTP_X_FORWARDED_FOR", "")],
            settings.TRUSTED_PROXIES,
        )
        agent = request.META.get("HTTP_USER_AGENT", "").replace("\x00", "")
        return cls(str(found) if found else None, agent[:300])


COMMAND_LINE = Origin(agent="bin/manage")
