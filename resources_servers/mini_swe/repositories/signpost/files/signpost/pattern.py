"""One pattern of a path."""

from urllib.parse import quote, unquote

KINDS = ("text", "int", "path")


class Pattern:
    """A pattern such as `/users/<int:id>`, cut into segments `(kind, value)`: `fixed`, `text`, `int` or `path`."""

    def __init__(self, text):
        if not text.startswith("/"):
            raise ValueError(f"{text!r} must begin with a slash")
        self.text = text
        self.segments = [_segment(part) for part in text[1:].split("/")]
        names = [value for kind, value in self.segments if kind != "fixed"]
        if len(set(names)) != len(names):
            raise ValueError(f"{text!r} uses a name twice")
        if any(kind == "path" for kind, _ in self.segments[:-1]):
            raise ValueError(f"{text!r}: a path can only be the last part")

    def match(self, path):
        """The values of a path by name, None where it does not fit."""
        parts = path[1:].split("/")
        ends_open = self.segments[-1][0] == "path"
        if len(parts) < len(self.segments) or (len(parts) > len(self.segments) and not ends_open):
            return None
        values = {}
        for place, (kind, value) in enumerate(self.segments):
            part = unquote(parts[place])
            if kind == "fixed":
                if part != value:
                    return None
            elif kind == "int":
                if not (part.isascii() and part.isdigit()):
                    return None
                values[value] = int(part)
            elif kind == "path":
                rest = "/".join(parts[place:])
                if not rest:
                    return None
                values[value] = unquote(rest)
            else:
                if not part:
                    return None
                values[value] = part
        return values

    def path(self, values):
        """The path for these values. Raises `ValueError` where one is missing, unknown or does not fit."""
        names = {value for kind, value in self.segments if kind != "fixed"}
        if set(values) != names:
            raise ValueError(f"{self.text!r} takes {sorted(names)}, not {sorted(values)}")
        parts = []
        for kind, value in self.segments:
            if kind == "fixed":
                parts.append(quote(value, safe=""))
            elif kind == "int":
                parts.append(str(int(values[value])))
            else:
                text = str(values[value])
                if not text:
                    raise ValueError(f"{value!r} must not be empty")
                parts.append(quote(text, safe="/" if kind == "path" else ""))
        return "/" + "/".join(parts)

    @property
    def rank(self):
        """Patterns of lower rank are tried first: segment by segment, fixed before int before text before path."""
        order = ("fixed", "int", "text", "path")
        return [order.index(kind) for kind, _ in self.segments]


def _segment(part):
    if not (part.startswith("<") and part.endswith(">")):
        return ("fixed", part)
    kind, colon, name = part[1:-1].partition(":")
    if not colon:
        kind, name = "text", kind
    if kind not in KINDS or not name.isidentifier():
        raise ValueError(f"{part!r} is no part of a pattern")
    return (kind, name)
