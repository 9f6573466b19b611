"""What can be done with a value before it is put in."""


def _truncate(value, length):
    text = str(value)
    length = int(length)
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def _join(value, separator=", "):
    return separator.join(str(item) for item in value)


def _default(value, other=""):
    return other if value is None or value == "" else value


FILTERS = {
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: " ".join(word[:1].upper() + word[1:] for word in str(value).split(" ")),
    "length": len,
    "truncate": _truncate,
    "join": _join,
    "default": _default,
}
