"""What the three commands say. Standard output is for results, so all of this is on the other."""

import sys


def say(sentence: str) -> None:
    """A line for the person."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
