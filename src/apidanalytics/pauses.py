"""How long to wait after failures in a row."""


def growing(failures: int, *, first: float, longest: float, factor: float = 2.0) -> float:
    """Return seconds: none before a failure, then ``first``, and ``factor`` times more each time up to ``longest``.

    It holds for any number of failures: what fails for a month has failed some thousand times.
    """
    if failures <= 0:
        return 0.0
    try:
        return min(first * factor ** (failures - 1), longest)
    except OverflowError:
        return longest
