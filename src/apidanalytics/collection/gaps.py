"""A text with two gaps: the key of an object and then the time, in a signed URL as in what is signed of it."""

from typing import Final

KEY: Final = "apidanalytics-stands-here-for-the-key"
"""Stands for the key where a text is made to be cut up."""

Parts = tuple[str, str, str]


def cut(text: str, at: str) -> Parts:
    """Return what is before, between and after the two.

    Raises:
        ValueError: they are not there, once each and in this order.

    """
    before, key, rest = text.partition(KEY)
    between, time, after = rest.partition(at)
    if not (key and time) or KEY in rest or at in after:
        raise ValueError("the URL is signed in a form that is not known here")
    return before, between, after


def filled(parts: Parts, path: str, at: str) -> str:
    """Return the text with these in it."""
    before, between, after = parts
    return f"{before}{path}{between}{at}{after}"
