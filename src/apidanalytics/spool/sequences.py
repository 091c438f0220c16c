"""Which groups of a spool were read: each counts once, wherever in the file copies of it lie."""


class Sequences:
    """Takes the numbers of frames in the order of the file, in which they should be 0, 1, 2, ..."""

    def __init__(self) -> None:
        self._next = 0
        self._gaps: list[range] = []

    def __repr__(self) -> str:
        return f"<Sequences up to {self._next}, {len(self._gaps)} gaps>"

    def missing_before(self, number: int) -> int:
        """Return how many numbers are left out when this one comes now."""
        return max(number - self._next, 0)

    def take(self, number: int) -> bool:
        """Take the next number; False if it came before."""
        if number >= self._next:
            if number > self._next:
                self._gaps.append(range(self._next, number))
            self._next = number + 1
            return True
        for index, gap in enumerate(self._gaps):
            if number in gap:
                rest = range(gap.start, number), range(number + 1, gap.stop)
                self._gaps[index : index + 1] = [part for part in rest if part]
                return True
        return False
