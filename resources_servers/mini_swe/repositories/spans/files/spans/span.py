"""One range of days, and several of them."""

from datetime import timedelta

DAY = timedelta(days=1)
SATURDAY = 5


class Span:
    """The days from `first` to `last`, both included."""

    def __init__(self, first, last):
        if last < first:
            raise ValueError(f"{last} is before {first}")
        self.first = first
        self.last = last

    @property
    def days(self):
        """How many days it has."""
        return (self.last - self.first).days + 1

    def __contains__(self, day):
        return self.first <= day <= self.last

    def __iter__(self):
        day = self.first
        while day <= self.last:
            yield day
            day += DAY

    def __eq__(self, other):
        if not isinstance(other, Span):
            return NotImplemented
        return (self.first, self.last) == (other.first, other.last)

    def __hash__(self):
        return hash((self.first, self.last))

    def __repr__(self):
        return f"Span({self.first}, {self.last})"

    def overlaps(self, other):
        """Whether there is a day in both."""
        return self.first <= other.last and other.first <= self.last

    def touches(self, other):
        """Whether they overlap or follow each other without a day between."""
        return self.first <= other.last + DAY and other.first <= self.last + DAY

    def intersection(self, other):
        """The days in both, None where there are none."""
        if not self.overlaps(other):
            return None
        return Span(max(self.first, other.first), min(self.last, other.last))

    def without(self, other):
        """What is left of this span when the other's days are taken out: a list of no, one or two spans."""
        if not self.overlaps(other):
            return [self]
        left = []
        if self.first < other.first:
            left.append(Span(self.first, other.first - DAY))
        if other.last < self.last:
            left.append(Span(other.last + DAY, self.last))
        return left

    def shifted(self, days):
        """The same number of days, later or (negative) earlier."""
        return Span(self.first + days * DAY, self.last + days * DAY)

    def working_days(self, holidays=()):
        """How many days are neither on a weekend nor among the holidays."""
        closed = set(holidays)
        return sum(1 for day in self if day.weekday() < SATURDAY and day not in closed)


def merge(spans):
    """The same days as few spans as possible, in order: what overlaps or follows directly becomes one."""
    merged = []
    for span in sorted(spans, key=lambda span: span.first):
        if merged and merged[-1].touches(span):
            merged[-1] = Span(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def gaps(spans, within):
    """The days of `within` that are in none of the spans."""
    free = [within]
    for span in spans:
        free = [rest for part in free for rest in part.without(span)]
    return free
