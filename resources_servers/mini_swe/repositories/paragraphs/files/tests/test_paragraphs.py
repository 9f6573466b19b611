import unittest

from paragraphs import indent, wrap


class LinesTest(unittest.TestCase):
    def test_a_short_text_is_one_line(self):
        self.assertEqual(wrap("a b", 10), ["a b"])

    def test_indent(self):
        self.assertEqual(indent("a", "> "), "> a")
