"""Rows → text."""


def write_rows(rows, separator=",", end="\n"):
    """The text of rows; `read_rows` gives them back. None is written as an empty field, others with `str`."""
    return "".join(separator.join(_field(value, separator) for value in row) + end for row in rows)


def _field(value, separator):
    text = "" if value is None else str(value)
    needs_quotes = any(sign in text for sign in (separator, '"', "\n", "\r")) or text != text.strip()
    if not needs_quotes:
        return text
    return '"' + text.replace('"', '""') + '"'
