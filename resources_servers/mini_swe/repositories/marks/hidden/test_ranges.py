import itertools
import random
import unittest

from marks import Marks, format_marks, parse_marks


class AddTest(unittest.TestCase):
    def test_apart(self):
        """Ranges that are apart stay apart, in order."""
        self.assertEqual(Marks([(8, 9), (1, 3), (5, 6)]).ranges(), [(1, 3), (5, 6), (8, 9)])

    def test_touching(self):
        """Ranges that touch become one, on either side."""
        self.assertEqual(Marks([(1, 3), (3, 5)]).ranges(), [(1, 5)])
        self.assertEqual(Marks([(3, 5), (1, 3)]).ranges(), [(1, 5)])
        self.assertEqual(Marks([(1, 3), (5, 7), (3, 5)]).ranges(), [(1, 7)])

    def test_overlapping(self):
        """A range that overlaps several others swallows them, and keeps the outermost ends."""
        self.assertEqual(Marks([(1, 3), (5, 7), (9, 12), (2, 10)]).ranges(), [(1, 12)])
        self.assertEqual(Marks([(1, 9), (3, 4)]).ranges(), [(1, 9)])
        self.assertEqual(Marks([(3, 4), (1, 9)]).ranges(), [(1, 9)])

    def test_added(self):
        """`add` returns how many numbers were not marked before."""
        marks = Marks([(0, 4), (6, 8)])
        self.assertEqual([marks.add(2, 7), marks.add(2, 7), marks.add(8, 10)], [2, 0, 2])

    def test_empty(self):
        """An empty range changes nothing; one that runs backwards is refused, by `remove` too."""
        marks = Marks([(1, 3)])
        self.assertEqual([marks.add(5, 5), marks.remove(2, 2)], [0, 0])
        self.assertEqual(marks.ranges(), [(1, 3)])
        for operation in (marks.add, marks.remove):
            with self.assertRaises(ValueError):
                operation(4, 3)


class RemoveTest(unittest.TestCase):
    def removed(self, start, end):
        marks = Marks([(0, 4), (6, 10)])
        count = marks.remove(start, end)
        return count, marks.ranges()

    def test_middle(self):
        """Removing the middle of a range leaves both ends."""
        self.assertEqual(self.removed(7, 9), (2, [(0, 4), (6, 7), (9, 10)]))

    def test_ends(self):
        """Removing one end of a range leaves the other."""
        self.assertEqual(self.removed(0, 1), (1, [(1, 4), (6, 10)]))
        self.assertEqual(self.removed(9, 12), (1, [(0, 4), (6, 9)]))

    def test_several(self):
        """Removing may reach over several ranges and the gaps between them."""
        self.assertEqual(self.removed(2, 8), (4, [(0, 2), (8, 10)]))
        self.assertEqual(self.removed(0, 10), (8, []))
        self.assertEqual(self.removed(-5, 4), (4, [(6, 10)]))

    def test_gap(self):
        """Removing what is not marked changes nothing, right beside a range either."""
        self.assertEqual(self.removed(4, 6), (0, [(0, 4), (6, 10)]))
        self.assertEqual(self.removed(10, 20), (0, [(0, 4), (6, 10)]))


class AskTest(unittest.TestCase):
    def setUp(self):
        self.marks = Marks([(2, 4), (6, 9)])

    def test_contains(self):
        """The start of a range is marked, its end is not."""
        self.assertEqual([number for number in range(12) if number in self.marks], [2, 3, 6, 7, 8])

    def test_count(self):
        """`count` counts marked numbers within a range, and `len` all of them."""
        self.assertEqual([self.marks.count(0, 3), self.marks.count(3, 7), self.marks.count(4, 6)], [1, 2, 0])
        self.assertEqual([self.marks.count(-9, 99), len(self.marks), len(Marks())], [5, 5, 0])

    def test_covers(self):
        """A range is covered if every number of it is marked; an empty one always is."""
        answers = [self.marks.covers(6, 9), self.marks.covers(6, 10), self.marks.covers(3, 7), self.marks.covers(5, 5)]
        self.assertEqual(answers, [True, False, False, True])

    def test_missing(self):
        """`missing` lists the gaps within a range, those at its ends too."""
        self.assertEqual(self.marks.missing(0, 12), [(0, 2), (4, 6), (9, 12)])
        self.assertEqual(self.marks.missing(3, 7), [(4, 6)])
        self.assertEqual(self.marks.missing(6, 9), [])
        self.assertEqual(self.marks.missing(4, 6), [(4, 6)])
        self.assertEqual(self.marks.missing(8, 11), [(9, 11)])

    def test_next_free(self):
        """`next_free` is the number itself where that is not marked, else the first one after its range."""
        self.assertEqual([self.marks.next_free(number) for number in (1, 2, 3, 4, 8, 9)], [1, 4, 4, 4, 9, 9])


class SetTest(unittest.TestCase):
    def test_operators(self):
        """`|`, `&` and `-` work as for sets, and leave both sides as they were."""
        one, other = Marks([(0, 5), (8, 10)]), Marks([(3, 9)])
        self.assertEqual((one | other).ranges(), [(0, 10)])
        self.assertEqual((one & other).ranges(), [(3, 5), (8, 9)])
        self.assertEqual((one - other).ranges(), [(0, 3), (9, 10)])
        self.assertEqual((one.ranges(), other.ranges()), ([(0, 5), (8, 10)], [(3, 9)]))

    def test_equal(self):
        """Marks of the same numbers are equal, however they were put together."""
        self.assertTrue(Marks([(1, 3), (3, 5)]) == Marks([(1, 5)]))
        self.assertFalse(Marks([(1, 3)]) == Marks([(1, 4)]))

    def test_against_sets(self):
        """After many random changes the marks are those that a set of numbers would hold."""
        rng = random.Random(5)
        marks, numbers = Marks(), set()
        for _ in range(60):
            start = rng.randrange(40)
            end = start + rng.randrange(8)
            if rng.random() < 0.6:
                self.assertEqual(marks.add(start, end), len(set(range(start, end)) - numbers))
                numbers |= set(range(start, end))
            else:
                self.assertEqual(marks.remove(start, end), len(set(range(start, end)) & numbers))
                numbers -= set(range(start, end))
        ranges = marks.ranges()
        self.assertEqual({number for start, end in ranges for number in range(start, end)}, numbers)
        self.assertTrue(all(end < start for (_, end), (start, _) in itertools.pairwise(ranges)))


class TextTest(unittest.TestCase):
    def test_parse(self):
        """A text names numbers and ranges with both ends included; an open range goes up to the limit."""
        self.assertEqual(parse_marks("1-3,7, 10-", 15).ranges(), [(1, 4), (7, 8), (10, 15)])
        self.assertEqual(parse_marks("0", 5).ranges(), [(0, 1)])

    def test_limit(self):
        """What lies at the limit or beyond is left out."""
        self.assertEqual(parse_marks("3-20,30,40-", 10).ranges(), [(3, 10)])
        self.assertEqual(parse_marks("10,9", 10).ranges(), [(9, 10)])

    def test_refused(self):
        """What is no range, or one that runs backwards, is refused."""
        for text in ("", "a", "1-2-3", "-3", "3-1", "1,,2", "1.5"):
            with self.assertRaises(ValueError):
                parse_marks(text, 10)

    def test_format(self):
        """Marks are written with both ends included, and single numbers alone."""
        self.assertEqual(format_marks(Marks([(1, 4), (7, 8), (9, 11)])), "1-3,7,9-10")
        self.assertEqual(format_marks(Marks()), "")
