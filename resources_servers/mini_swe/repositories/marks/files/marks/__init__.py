"""Sets of whole numbers as ranges."""

from marks.marks import Marks
from marks.text import format_marks, parse_marks

__all__ = ["Marks", "format_marks", "parse_marks"]
