"""The set."""

from bisect import bisect_left, bisect_right


class Marks:
    """Ranges `[start, end)`, sorted, that neither overlap nor touch."""

    def __init__(self, ranges=()):
        self._starts = []
        self._ends = []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start, end):
        """Mark start to end - 1; returns how many of them were not marked before."""
        if end < start:
            raise ValueError(f"{end} is before {start}")
        if start == end:
            return 0
        before = self.count(start, end)
        added = end - start - before
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        return added

    def remove(self, start, end):
        """Unmark start to end - 1; returns how many of them were marked."""
        if end < start:
            raise ValueError(f"{end} is before {start}")
        removed = self.count(start, end)
        if not removed:
            return 0
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        left = [(self._starts[first], start)] if self._starts[first] < start else []
        right = [(end, self._ends[last - 1])] if self._ends[last - 1] > end else []
        kept = left + right
        self._starts[first:last] = [one for one, _ in kept]
        self._ends[first:last] = [one for _, one in kept]
        return removed

    def count(self, start, end):
        """How many of start to end - 1 are marked."""
        first = bisect_right(self._ends, start)
        total = 0
        for place in range(first, len(self._starts)):
            if self._starts[place] >= end:
                break
            total += min(end, self._ends[place]) - max(start, self._starts[place])
        return total

    def covers(self, start, end):
        """Whether all of start to end - 1 are marked; true of an empty range."""
        return self.count(start, end) == end - start

    def missing(self, start, end):
        """The ranges within start to end - 1 that are not marked."""
        gaps = []
        place = start
        for first, last in zip(self._starts, self._ends, strict=True):
            if first >= end:
                break
            if last <= start:
                continue
            if first > place:
                gaps.append((place, first))
            place = last
        if place < end:
            gaps.append((place, end))
        return gaps

    def next_free(self, number):
        """The smallest number that is not marked and not below `number`."""
        place = bisect_right(self._starts, number) - 1
        if place >= 0 and number < self._ends[place]:
            return self._ends[place]
        return number

    def ranges(self):
        return list(zip(self._starts, self._ends, strict=True))

    def copy(self):
        return Marks(self.ranges())

    def __contains__(self, number):
        return self.next_free(number) != number

    def __len__(self):
        return sum(end - start for start, end in self.ranges())

    def __eq__(self, other):
        return self.ranges() == other.ranges() if isinstance(other, Marks) else NotImplemented

    __hash__ = None

    def __or__(self, other):
        result = self.copy()
        for start, end in other.ranges():
            result.add(start, end)
        return result

    def __sub__(self, other):
        result = self.copy()
        for start, end in other.ranges():
            result.remove(start, end)
        return result

    def __and__(self, other):
        return self - (self - other)
