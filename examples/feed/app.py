"""The feed, guarded: `granian --interface asgi examples.feed.app:application`."""

from apikeys.edge.guard import Guard
from examples.feed.feed import Feed

application = Guard(Feed())
