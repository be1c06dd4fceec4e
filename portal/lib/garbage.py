"""Python's search for garbage that holds itself, in a process that answers many small calls.

It stops every thread while it goes through all that there is: a tenth of a second and more, with a
hundred thousand keys remembered. What a call leaves behind is gone without it, by counting; the few
things that hold each other, such as an error and its traceback, are found while they are young.
"""

import gc

# New objects until the young are gone through, that until the middle ones, that until all are.
# Python's own numbers, 700, 10 and 10, look through all of them every few seconds.
THRESHOLDS = (10_000, 20, 50)


def settle() -> None:
    """To be called when all is loaded: what is there now will never be garbage, and is left out."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
