import unittest

from rowreader import read_rows, write_rows


class RowsTest(unittest.TestCase):
    def test_plain_rows(self):
        self.assertEqual(read_rows("a,b\nc,d\n"), [["a", "b"], ["c", "d"]])

    def test_rows_are_written(self):
        self.assertEqual(write_rows([["a", 1]]), "a,1\n")
