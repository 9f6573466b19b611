"""Marks as people write them: `1-3,7,10-`."""

from marks.marks import Marks


def parse_marks(text, limit):
    """The marks of a text such as "1-3,7,10-": both ends included, an open end goes up to `limit` (not included).

    Numbers from the limit on are left out. Raises `ValueError` for anything else.
    """
    marks = Marks()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"{part!r} is no range")
        start = int(first)
        end = int(last) + 1 if last else limit if dash else start + 1
        if last and end <= start:
            raise ValueError(f"{part!r} runs backwards")
        if start < limit:
            marks.add(start, min(end, limit))
    return marks


def format_marks(marks):
    """The text of marks, both ends included."""
    return ",".join(str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in marks.ranges())
