import unittest
from datetime import date

from spans import Span


class SpanTest(unittest.TestCase):
    def test_a_span_holds_its_middle(self):
        self.assertIn(date(2024, 5, 2), Span(date(2024, 5, 1), date(2024, 5, 3)))

    def test_a_span_cannot_run_backwards(self):
        with self.assertRaises(ValueError):
            Span(date(2024, 5, 2), date(2024, 5, 1))
