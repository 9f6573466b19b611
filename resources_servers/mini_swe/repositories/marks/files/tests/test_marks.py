import unittest

from marks import Marks


class MarksTest(unittest.TestCase):
    def test_what_is_added_is_marked(self):
        marks = Marks()
        marks.add(3, 6)
        self.assertIn(4, marks)

    def test_a_range_cannot_run_backwards(self):
        with self.assertRaises(ValueError):
            Marks().add(3, 2)
