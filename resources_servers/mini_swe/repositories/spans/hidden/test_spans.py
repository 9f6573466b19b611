import unittest
from datetime import date

from spans import Span, add_months, gaps, merge, months_of


def span(first, last, month=5):
    return Span(date(2024, month, first), date(2024, month, last))


def ends(spans):
    return [(one.first.day, one.last.day) for one in spans]


class SpanTest(unittest.TestCase):
    def test_days(self):
        """`days` counts both ends, so that a span of one day has 1."""
        self.assertEqual(span(1, 1).days, 1)
        self.assertEqual(span(1, 31).days, 31)
        self.assertEqual(Span(date(2024, 2, 28), date(2024, 3, 1)).days, 3)

    def test_contains(self):
        """A span contains its first and its last day, and no day outside."""
        one = span(10, 12)
        self.assertEqual([day for day in range(8, 15) if date(2024, 5, day) in one], [10, 11, 12])

    def test_iteration(self):
        """Iterating over a span gives each of its days once, the last one included."""
        self.assertEqual([day.day for day in span(29, 31)], [29, 30, 31])

    def test_equality(self):
        """Spans with the same ends are equal and have equal hashes; others are not equal."""
        self.assertTrue(span(1, 3) == span(1, 3))
        self.assertFalse(span(1, 3) == span(1, 4))
        self.assertFalse(span(1, 3) == span(2, 3))
        self.assertEqual(hash(span(1, 3)), hash(span(1, 3)))
        with self.assertRaises(ValueError):
            span(3, 2)

    def test_overlap(self):
        """Spans that share a single day overlap; spans that only follow each other do not."""
        self.assertTrue(span(1, 5).overlaps(span(5, 9)))
        self.assertTrue(span(5, 9).overlaps(span(1, 5)))
        self.assertFalse(span(1, 4).overlaps(span(5, 9)))
        self.assertTrue(span(1, 9).overlaps(span(4, 4)))

    def test_touches(self):
        """Spans touch where they overlap or one begins on the day after the other's last."""
        self.assertTrue(span(1, 4).touches(span(5, 9)))
        self.assertTrue(span(5, 9).touches(span(1, 4)))
        self.assertTrue(span(1, 5).touches(span(5, 9)))
        self.assertFalse(span(1, 3).touches(span(5, 9)))
        self.assertFalse(span(5, 9).touches(span(1, 3)))

    def test_intersection(self):
        """The intersection is the days in both spans, and None where they share none."""
        both = span(1, 6).intersection(span(4, 9))
        self.assertEqual((both.first.day, both.last.day), (4, 6))
        inner = span(1, 9).intersection(span(3, 4))
        self.assertEqual((inner.first.day, inner.last.day), (3, 4))
        self.assertIsNone(span(1, 3).intersection(span(4, 9)))

    def test_without(self):
        """`without` leaves the days before and after the other span, and nothing where it covers all."""
        self.assertEqual(ends(span(1, 9).without(span(4, 6))), [(1, 3), (7, 9)])
        self.assertEqual(ends(span(1, 9).without(span(1, 6))), [(7, 9)])
        self.assertEqual(ends(span(1, 9).without(span(6, 12))), [(1, 5)])
        self.assertEqual(ends(span(3, 4).without(span(1, 9))), [])
        self.assertEqual(ends(span(3, 4).without(span(3, 4))), [])
        self.assertEqual(ends(span(3, 4).without(span(5, 9))), [(3, 4)])

    def test_shifted(self):
        """`shifted` moves both ends by the same number of days, across the end of a month too."""
        later = span(30, 31).shifted(2)
        self.assertEqual((later.first, later.last), (date(2024, 6, 1), date(2024, 6, 2)))
        self.assertEqual(ends([span(5, 6).shifted(-4)]), [(1, 2)])

    def test_working_days(self):
        """Working days are those from Monday to Friday that are no holidays."""
        self.assertEqual(span(6, 12).working_days(), 5)
        self.assertEqual(span(11, 12).working_days(), 0)
        self.assertEqual(span(6, 10).working_days([date(2024, 5, 9), date(2024, 5, 11)]), 4)


class ManySpansTest(unittest.TestCase):
    def test_merge(self):
        """`merge` joins spans that overlap or follow each other directly, in whatever order they come."""
        self.assertEqual(ends(merge([span(10, 12), span(1, 3), span(2, 5)])), [(1, 5), (10, 12)])
        self.assertEqual(ends(merge([span(1, 3), span(4, 5)])), [(1, 5)])
        self.assertEqual(ends(merge([span(1, 3), span(5, 6)])), [(1, 3), (5, 6)])
        self.assertEqual(merge([]), [])

    def test_merge_contained(self):
        """`merge` keeps the later end when a span lies inside the one before it."""
        self.assertEqual(ends(merge([span(1, 20), span(2, 4)])), [(1, 20)])

    def test_gaps(self):
        """`gaps` finds the free days of a period before, between and after the spans."""
        self.assertEqual(ends(gaps([span(3, 5), span(10, 12)], span(1, 15))), [(1, 2), (6, 9), (13, 15)])
        self.assertEqual(ends(gaps([span(1, 15)], span(1, 15))), [])


class MonthsTest(unittest.TestCase):
    def test_add_months(self):
        """`add_months` keeps the day of the month, over the turn of a year, forwards and backwards."""
        self.assertEqual(add_months(date(2023, 11, 15), 3), date(2024, 2, 15))
        self.assertEqual(add_months(date(2024, 1, 15), -1), date(2023, 12, 15))
        self.assertEqual(add_months(date(2024, 1, 15), 11), date(2024, 12, 15))
        self.assertEqual(add_months(date(2024, 1, 15), -13), date(2022, 12, 15))

    def test_add_months_short(self):
        """Where the month has no such day, `add_months` gives its last one."""
        self.assertEqual(add_months(date(2024, 1, 31), 1), date(2024, 2, 29))
        self.assertEqual(add_months(date(2023, 3, 31), -1), date(2023, 2, 28))
        self.assertEqual(add_months(date(2024, 5, 31), 1), date(2024, 6, 30))

    def test_months_of(self):
        """`months_of` cuts a span at the ends of months without losing or doubling a day."""
        parts = months_of(Span(date(2023, 12, 30), date(2024, 2, 2)))
        self.assertEqual([part.days for part in parts], [2, 31, 2])
        self.assertEqual([part.first for part in parts], [date(2023, 12, 30), date(2024, 1, 1), date(2024, 2, 1)])
        self.assertEqual([part.last for part in parts], [date(2023, 12, 31), date(2024, 1, 31), date(2024, 2, 2)])
        self.assertEqual(ends(months_of(span(3, 7))), [(3, 7)])
