"""The portal's processes behind nginx, on a machine that is busy with other tests: no outage."""

from apikeys.edge import reads
from apikeys.edge.internal import application as internal
from portal.asgi import application as portal

reads.PATIENCE_SECONDS = 1.5

__all__ = ["internal", "portal"]
