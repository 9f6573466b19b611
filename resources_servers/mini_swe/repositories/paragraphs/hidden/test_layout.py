import unittest

from paragraphs import dedent, fill, indent, justify, table, wrap


class WrapTest(unittest.TestCase):
    def test_full_lines(self):
        """A line may be exactly as long as the width, and is never longer."""
        self.assertEqual(wrap("aaa bbb ccc", 7), ["aaa bbb", "ccc"])
        self.assertEqual(wrap("aaa bbb ccc", 6), ["aaa", "bbb", "ccc"])
        self.assertEqual(wrap("aaa bbb ccc", 11), ["aaa bbb ccc"])

    def test_spaces(self):
        """Any run of spaces, tabs and ends of lines separates words like one space."""
        self.assertEqual(wrap("  a \t b\n\nc  ", 10), ["a b c"])
        self.assertEqual(wrap("", 10), [])
        self.assertEqual(wrap("   ", 10), [])

    def test_long_words(self):
        """A word that is longer than a line is cut, and what is left of it goes on in the next line."""
        self.assertEqual(wrap("abcdefgh", 3), ["abc", "def", "gh"])
        self.assertEqual(wrap("abcdef x", 3), ["abc", "def", "x"])
        self.assertEqual(wrap("ab cdefgh i", 4), ["ab", "cdef", "gh i"])

    def test_long_word_begins_a_line(self):
        """A long word begins a line of its own rather than fill up the one before."""
        self.assertEqual(wrap("a bcdefg", 5), ["a", "bcdef", "g"])

    def test_prefixes(self):
        """`first` begins the first line and `rest` the others; both count as part of the width."""
        self.assertEqual(wrap("aaa bbb ccc", 9, first="* ", rest="  "), ["* aaa bbb", "  ccc"])
        self.assertEqual(wrap("aaa bbb ccc", 8, first="* ", rest="  "), ["* aaa", "  bbb", "  ccc"])
        self.assertEqual(wrap("abcdef", 5, first="- ", rest="  "), ["- abc", "  def"])

    def test_no_room(self):
        """A width that leaves no room beside a prefix is refused."""
        with self.assertRaises(ValueError):
            wrap("a", 2, first="* ")
        with self.assertRaises(ValueError):
            wrap("a", 2, rest="   ")
        with self.assertRaises(ValueError):
            wrap("a", 0)
        self.assertEqual(wrap("ab", 3, first="* "), ["* a", "b"])


class FillTest(unittest.TestCase):
    def test_paragraphs(self):
        """Paragraphs are wrapped one by one, with exactly one empty line between them."""
        self.assertEqual(fill("a b\nc\n\n\n  \nd e f", 3), "a b\nc\n\nd e\nf")

    def test_edges(self):
        """Empty lines before and after the text are dropped, the last paragraph is not."""
        self.assertEqual(fill("\n\na\n\nb", 9), "a\n\nb")
        self.assertEqual(fill("\n", 9), "")


class JustifyTest(unittest.TestCase):
    def test_even(self):
        """Spaces are shared out evenly, so that the line is exactly as long as asked."""
        self.assertEqual(justify("a b c", 9), "a   b   c")
        self.assertEqual(justify("ab cd", 5), "ab cd")

    def test_uneven(self):
        """Where the spaces cannot be shared out evenly, gaps further left get one more."""
        self.assertEqual(justify("a b c d", 9), "a  b  c d")
        self.assertEqual(justify("a b c", 6), "a  b c")

    def test_single(self):
        """A single word is left alone, and a line that is too long already keeps one space between words."""
        self.assertEqual(justify(" word ", 9), "word")
        self.assertEqual(justify("long  words", 5), "long words")
        self.assertEqual(justify("", 5), "")


class IndentTest(unittest.TestCase):
    def test_indent(self):
        """`indent` puts the prefix before each line with text, and leaves lines without text as they are."""
        self.assertEqual(indent("a\n\n b\n", "> "), "> a\n\n>  b\n")

    def test_dedent(self):
        """`dedent` takes away what all lines have in common, and keeps further indentation."""
        self.assertEqual(dedent("  a\n    b\n  c"), "a\n  b\nc")
        self.assertEqual(dedent("a\n  b"), "a\n  b")

    def test_dedent_empty_lines(self):
        """Lines without text do not limit what `dedent` takes away, and are empty afterwards."""
        self.assertEqual(dedent("    a\n\n \n    b"), "a\n\n\nb")
        self.assertEqual(dedent(""), "")


class TableTest(unittest.TestCase):
    def test_columns(self):
        """Columns are as wide as their widest cell, with a gap between them."""
        self.assertEqual(table([["a", "bbb"], ["ccc", "d"]]), "a    bbb\nccc  d")
        self.assertEqual(table([["a", "b"]], gap=1), "a b")

    def test_numbers(self):
        """Numbers stand to the right in their column; text and truth values to the left."""
        self.assertEqual(table([["x", 5, "."], ["y", 120, "."], ["z", 1.5, "."]]), "x    5  .\ny  120  .\nz  1.5  .")
        self.assertEqual(table([[True, "."], [False, "."]]), "True   .\nFalse  .")

    def test_ragged(self):
        """Rows may have different lengths, and no line ends in a space."""
        self.assertEqual(table([["a"], ["bb", "c"], ["d", "e", "f"]]), "a\nbb  c\nd   e  f")
        self.assertEqual(table([["aa", ""], ["b", "c"]]), "aa\nb   c")
        self.assertEqual(table([]), "")
