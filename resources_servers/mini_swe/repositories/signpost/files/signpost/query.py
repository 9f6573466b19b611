"""What follows the question mark."""

from urllib.parse import quote_plus, unquote_plus


def parse_query(text):
    """Values by name, each a list in the order in which they stand; a name without `=` has the value ""."""
    values = {}
    for part in text.removeprefix("?").split("&"):
        if part:
            name, _, value = part.partition("=")
            values.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return values


def write_query(values):
    """The text of values by name; a list or tuple gives a part for each item, None gives none."""
    parts = []
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                parts.append(f"{quote_plus(name)}={quote_plus(str(one))}")
    return "&".join(parts)
