"""Which paths are the machine door's: `/v1`, `/{sport}/v1` and all below them."""

from urllib.parse import unquote_to_bytes

from apikeys.routes import NO_SPORTS


def belongs_to_door(raw_path: bytes) -> bool:
    """Whether a path, as it came and without the query, is the machine door's to answer.

    A path in another than its normal form (`//v1/x`, `/%761/whoami`, `/./v1`, `/v1/../client`) is
    the door's if it begins like one of the door's. That opens nothing: the door compares raw
    paths, so nobody else gets to guess what was meant.
    """
    if raw_path.startswith(b"/v1/"):
        return True
    segments = [
        segment for segment in unquote_to_bytes(raw_path).split(b"/") if segment not in (b"", b".")
    ]
    if segments[:1] == [b"v1"]:
        return True
    return segments[1:2] == [b"v1"] and segments[0] not in NO_SPORTS
