"""Text → rows."""


class RowError(ValueError):
    """A text that is not in the form; `line` is where, from 1."""

    def __init__(self, message, line):
        super().__init__(f"line {line}: {message}")
        self.line = line


def read_rows(text, separator=","):
    """The rows of a text, each a list of fields. A line without any character is no row."""
    rows = []
    row, field = [], ""
    quoted = closed = False
    line = opened = 1
    place = 0
    while place < len(text):
        sign = text[place]
        if quoted:
            if sign == '"' and text[place + 1 : place + 2] == '"':
                field += '"'
                place += 1
            elif sign == '"':
                quoted, closed = False, True
            else:
                field += sign
        elif sign == '"' and field == "" and not closed:
            quoted, opened = True, line
        elif sign == separator:
            row.append(field)
            field, closed = "", False
        elif sign == "\n" or text[place : place + 2] == "\r\n":
            if sign == "\r":
                place += 1
            if row or field or closed:
                rows.append([*row, field])
            row, field, closed = [], "", False
        elif closed:
            raise RowError("text after a closing quote", line)
        else:
            field += sign
        if text[place] == "\n":
            line += 1
        place += 1
    if quoted:
        raise RowError("a quote is not closed", opened)
    if row or field or closed:
        rows.append([*row, field])
    return rows


def read_records(text, separator=","):
    """The rows below the first as dicts, by the names in the first. Missing fields at the end are None."""
    rows = read_rows(text, separator)
    if not rows:
        return []
    names = [name.strip() for name in rows[0]]
    if len(set(names)) != len(names):
        raise RowError("a name stands twice in the first row", 1)
    records = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(names):
            raise RowError(f"{len(row)} fields, but {len(names)} names", number)
        records.append(dict(zip(names, row + [None] * (len(names) - len(row)), strict=True)))
    return records
