"""What announcements say: below which version a row is not believed any more."""

from dataclasses import dataclass

Id = bytes | int
Part = tuple[str, Id]  # kind and id of a row

GONE = 0  # instead of a version: the row was deleted


@dataclass(frozen=True, slots=True)
class _Floor:
    """heard: the moment of the last announcement. after: the moment a read must have begun in.

    version is 0 where after decides, and the other way round.
    """

    heard: int
    after: int
    version: int


class Floors:
    """The versions that were announced, by row.

    A row that was deleted may come again and counts from 1: versions say nothing about it any
    more, and only reads that began after its last announcement are believed.
    """

    def __init__(self) -> None:
        self._floors: dict[Part, _Floor] = {}

    def __len__(self) -> int:
        return len(self._floors)

    def __contains__(self, part: Part) -> bool:
        return part in self._floors

    def hear(self, part: Part, version: int, moment: int) -> None:
        """An announcement, which began that moment. Those of live rows may come in any order."""
        earlier = self._floors.get(part)
        if version == GONE or (earlier and earlier.after):
            self._floors[part] = _Floor(moment, moment, 0)
        else:
            highest = max(version, earlier.version) if earlier else version
            self._floors[part] = _Floor(moment, 0, highest)

    def allow(self, part: Part, version: int, begun: int) -> bool:
        """Whether a row that was read in this version may be believed. begun: the read's moment."""
        floor = self._floors.get(part)
        return floor is None or (version >= floor.version and begun >= floor.after)

    def forget(self, until: int) -> None:
        """Those last announced in this moment or before it: nothing is left that they concern."""
        self._floors = {part: floor for part, floor in self._floors.items() if floor.heard > until}

    def clear(self) -> None:
        """All of them."""
        self._floors = {}
