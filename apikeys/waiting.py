"""Where the use of many keys waits until it is merged (`WaitingUse`), and how one is found there.

A row holds what a process counted of a minute for a slice of the keys, in arrays: what belongs
together is at the same place in each of them. So one key's page looks at a part of the rows.
"""

SLICES = 64  # by the last byte of the id; a power of two

# SQL, to be formatted with the expression of a key's id: the rows in which the key is, once in
# each; and where in their arrays.
WAITING = f"""apikeys_waitinguse AS waiting
WHERE waiting.slice = get_byte(uuid_send({{key}}), 15) & {SLICES - 1}
AND {{key}} = ANY(waiting.keys)"""
PLACE = "array_position(waiting.keys, {key})"


def slice_of(key: bytes) -> int:
    """The one that the key is in. key: its id."""
    return key[-1] % SLICES
