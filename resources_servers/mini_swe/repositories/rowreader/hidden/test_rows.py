import unittest

from rowreader import RowError, read_records, read_rows, write_rows


class ReadTest(unittest.TestCase):
    def test_last_line(self):
        """The last row counts whether or not the text ends with the end of a line."""
        self.assertEqual(read_rows("a,b"), [["a", "b"]])
        self.assertEqual(read_rows("a,b\nc,d"), [["a", "b"], ["c", "d"]])
        self.assertEqual(read_rows("a\n"), [["a"]])
        self.assertEqual(read_rows('a\n""'), [["a"], [""]])
        self.assertEqual(read_rows("a,"), [["a", ""]])

    def test_empty_fields(self):
        """Empty fields are kept, at the beginning, in the middle and at the end of a row."""
        self.assertEqual(read_rows(",a,,b,\n"), [["", "a", "", "b", ""]])
        self.assertEqual(read_rows(",\n"), [["", ""]])

    def test_empty_lines(self):
        """Lines without any character are left out; a line with an empty quoted field is a row."""
        self.assertEqual(read_rows("a\n\n\nb\n"), [["a"], ["b"]])
        self.assertEqual(read_rows('""\na\n'), [[""], ["a"]])
        self.assertEqual(read_rows(""), [])

    def test_quotes(self):
        """Within quotes, separators and ends of lines belong to the field."""
        self.assertEqual(read_rows('"a,b",c\n'), [["a,b", "c"]])
        self.assertEqual(read_rows('"a\nb",c\n'), [["a\nb", "c"]])
        self.assertEqual(read_rows('x,"",y\n'), [["x", "", "y"]])

    def test_double_quotes(self):
        """Two quotes within a quoted field are one quote, at its end and alone too."""
        self.assertEqual(read_rows('"say ""hi""",b\n'), [['say "hi"', "b"]])
        self.assertEqual(read_rows('""""\n'), [['"']])

    def test_quote_inside(self):
        """A quote in the middle of a field without quotes is an ordinary character."""
        self.assertEqual(read_rows('6" pipe,b\n'), [['6" pipe', "b"]])

    def test_carriage_return(self):
        r"""Lines may end in `\r\n`; within quotes both characters are kept, and a `\r` alone is no end of a line."""
        self.assertEqual(read_rows("a,b\r\nc,d\r\n"), [["a", "b"], ["c", "d"]])
        self.assertEqual(read_rows('"a\r\nb"\r\n'), [["a\r\nb"]])
        self.assertEqual(read_rows("a\rb\n"), [["a\rb"]])

    def test_separator(self):
        """With another separator a comma is an ordinary character."""
        self.assertEqual(read_rows("a,b;c\n", ";"), [["a,b", "c"]])
        self.assertEqual(read_rows('"a;b";c\n', ";"), [["a;b", "c"]])

    def test_after_quote(self):
        """Text between a closing quote and the separator is an error, with the number of its line."""
        for text, line in (('"a"b,c\n', 1), ('x\n"a" ,b\n', 2), ('"a\nb"c\n', 2), ('"a""b"c\n', 1), ('"""', 1)):
            with self.assertRaises(RowError) as caught:
                read_rows(text)
            self.assertEqual(caught.exception.line, line)

    def test_open_quote(self):
        """A quote that is never closed is an error, reported for the line where it was opened."""
        for text, line in (('a\nb,"c\nd\n', 2), ('"', 1), ('x\r\ny\r\n"z', 3)):
            with self.assertRaises(RowError) as caught:
                read_rows(text)
            self.assertEqual(caught.exception.line, line)


class RecordTest(unittest.TestCase):
    def test_records(self):
        """Records are dicts by the names of the first row, spaces around the names left out."""
        self.assertEqual(
            read_records("name, age\nAda,36\nKurt,71\n"),
            [{"name": "Ada", "age": "36"}, {"name": "Kurt", "age": "71"}],
        )
        self.assertEqual(read_records("a;b\n1;2", ";"), [{"a": "1", "b": "2"}])

    def test_short_rows(self):
        """Fields that are missing at the end of a row are None in the record."""
        self.assertEqual(
            read_records("a,b,c\n1\n1,2\n"), [{"a": "1", "b": None, "c": None}, {"a": "1", "b": "2", "c": None}]
        )

    def test_long_rows(self):
        """A row with more fields than names is an error."""
        with self.assertRaises(RowError) as caught:
            read_records("a,b\n1,2\n1,2,3\n")
        self.assertEqual(caught.exception.line, 3)

    def test_names_twice(self):
        """A name that stands twice in the first row is an error."""
        with self.assertRaises(RowError):
            read_records("a,b, a\n1,2,3\n")
        self.assertEqual(read_records(""), [])
        self.assertEqual(read_records("a,b\n"), [])


class WriteTest(unittest.TestCase):
    def test_quotes_where_needed(self):
        """Only fields with a separator, a quote, an end of a line or spaces around them are quoted."""
        self.assertEqual(
            write_rows([["a b", "c,d", 'e"f', "g\nh", " i", "j\r"]]), 'a b,"c,d","e""f","g\nh"," i","j\r"\n'
        )
        self.assertEqual(write_rows([["a,b", "c;d"]], separator=";"), 'a,b;"c;d"\n')

    def test_values(self):
        """None becomes an empty field; 0 and False are written as they are."""
        self.assertEqual(write_rows([[None, 0, False, 1.5]]), ",0,False,1.5\n")

    def test_ends(self):
        """Every row is ended, the last one too, in the way that is asked for."""
        self.assertEqual(write_rows([["a"], ["b"]], end="\r\n"), "a\r\nb\r\n")
        self.assertEqual(write_rows([]), "")

    def test_there_and_back(self):
        """What is written can be read back unchanged."""
        rows = [['"', ',"', "\n", "\r\n", "", "x"], ["", "", "", '""', " ", "y"]]
        self.assertEqual(read_rows(write_rows(rows)), rows)
        self.assertEqual(read_rows(write_rows(rows, "\t"), "\t"), rows)
