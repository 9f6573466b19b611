"""Templates filled with values."""

from stencil.filters import FILTERS
from stencil.parser import StencilError, parse

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def render(text, values, escape=False):
    """A template filled once."""
    return Template(text, escape).render(values)


class Template:
    """A template that can be filled many times. `escape`: values are made safe for HTML, unless filtered by `raw`."""

    def __init__(self, text, escape=False):
        self._nodes = parse(text)
        self._escape = escape

    def render(self, values):
        return self._render(self._nodes, dict(values))

    def _render(self, nodes, values):
        return "".join(self._one(node, values) for node in nodes)

    def _one(self, node, values):
        if node.kind == "text":
            return node.content
        if node.kind == "value":
            return self._value(node, values)
        if node.kind == "if":
            words = node.content.split()
            negated = words[:1] == ["not"]
            chosen = bool(_look_up(words[-1], values, node.line, missing=None)) != negated
            return self._render(node.body if chosen else node.other, values)
        return self._repeated(node, values)

    def _repeated(self, node, values):
        name, word, source = node.content.partition(" in ")
        if not word:
            raise StencilError("write `for name in values`", node.line)
        items = list(_look_up(source.strip(), values, node.line))
        if not items:
            return self._render(node.other, values)
        parts = []
        for number, item in enumerate(items, start=1):
            loop = {"number": number, "first": number == 1, "last": number == len(items)}
            parts.append(self._render(node.body, {**values, name.strip(): item, "loop": loop}))
        return "".join(parts)

    def _value(self, node, values):
        expression, *filters = node.content.split("|")
        names = [name.strip() for name in filters]
        has_default = any(name.partition(":")[0] == "default" for name in names)
        if has_default:
            value = _look_up(expression.strip(), values, node.line, missing=None)
        else:
            value = _look_up(expression.strip(), values, node.line)
        for name in names:
            if name == "raw":
                continue
            word, colon, argument = name.partition(":")
            if word not in FILTERS:
                raise StencilError(f"no filter `{word}`", node.line)
            value = FILTERS[word](value, argument) if colon else FILTERS[word](value)
        text = "" if value is None else str(value)
        if self._escape and "raw" not in names:
            text = "".join(_ESCAPES.get(sign, sign) for sign in text)
        return text


_REQUIRED = object()


def _look_up(path, values, line, missing=_REQUIRED):
    """The value at `a.b.0`; `missing` where there is none, else a `StencilError`."""
    found = values
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, (list, tuple)) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif missing is _REQUIRED:
            raise StencilError(f"no value for `{path}`", line)
        else:
            return missing
    return found
