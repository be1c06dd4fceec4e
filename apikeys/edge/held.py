"""A record as a process holds it, with a place for what others there keep about its key."""

from typing import Any

from apikeys.verdict import KeyRecord


class Held(KeyRecord):
    """A record, and what is kept about its key elsewhere, so that no call has to look for it.

    Each part is for the one who put it here, who knows by itself whether it is still the right
    one. moment: of the directory's last check. packed, shared: what it was made from, in the
    directory's entries. before: the last call that was let in, and its answer
    (apikeys.edge.again). log: the limiter's.

    Not in an object of its own, since with many keys in use each object costs a call dearly:
    docs/decisions/0007-directory.md.
    """

    __slots__ = ("before", "log", "moment", "packed", "shared")

    # What KeyRecord declares is not to be written; these are, by whoever they are for.
    __setattr__ = object.__setattr__

    # No record is another one; and what is counted by record is found at once.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    moment: int
    packed: Any
    shared: Any
    before: Any
    log: Any

    def __init__(self, *given: Any, **named: Any) -> None:
        """As a KeyRecord; nothing is kept at first."""
        super().__init__(*given, **named)
        self.moment = -1
        self.packed = self.shared = self.before = self.log = None
