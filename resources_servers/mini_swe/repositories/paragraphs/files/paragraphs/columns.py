"""Rows put into columns."""


def table(rows, gap=2):
    """Rows as lines, columns as wide as their widest cell; numbers stand to the right, text to the left.

    Rows may be of different length. No line ends in a space.
    """
    cells = [[str(value) for value in row] for row in rows]
    count = max((len(row) for row in cells), default=0)
    widths = [max(len(row[column]) for row in cells if column < len(row)) for column in range(count)]
    lines = []
    for values, row in zip(rows, cells, strict=True):
        parts = []
        for value, text, width in zip(values, row, widths, strict=False):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            parts.append(text.rjust(width) if is_number else text.ljust(width))
        lines.append((" " * gap).join(parts).rstrip())
    return "\n".join(lines)
