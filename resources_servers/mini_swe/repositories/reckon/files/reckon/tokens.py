"""Text cut into tokens."""


class ReckonError(ValueError):
    """A text that is no arithmetic; `position` is where, from 0."""

    def __init__(self, message, position):
        super().__init__(f"{message} at {position}")
        self.position = position


class Token:
    """A `number`, a `name`, an `operator` or a bracket, and where it begins."""

    def __init__(self, kind, text, position):
        self.kind = kind
        self.text = text
        self.position = position

    def __repr__(self):
        return f"{self.kind}:{self.text}"


def tokenize(text):
    """The tokens of a text; spaces only separate."""
    tokens = []
    place = 0
    while place < len(text):
        sign = text[place]
        if sign.isspace():
            place += 1
            continue
        if sign.isdigit() or sign == ".":
            kind, end = "number", _number_end(text, place)
        elif sign.isalpha() or sign == "_":
            kind, end = "name", _name_end(text, place)
        elif sign in "+-*/%^":
            kind, end = "operator", place + 1
        elif sign in "(),":
            kind, end = "bracket", place + 1
        else:
            raise ReckonError(f"unexpected {sign!r}", place)
        tokens.append(Token(kind, text[place:end], place))
        place = end
    return tokens


def _number_end(text, place):
    """Digits with at most one point, then perhaps an exponent such as `e-3`."""
    end, points = place, 0
    while end < len(text) and (text[end].isdigit() or text[end] == "."):
        points += text[end] == "."
        end += 1
    if points > 1 or text[place:end] == ".":
        raise ReckonError("bad number", place)
    if end < len(text) and text[end] in "eE":
        digits = end + 1
        if digits < len(text) and text[digits] in "+-":
            digits += 1
        if digits < len(text) and text[digits].isdigit():
            end = digits
            while end < len(text) and text[end].isdigit():
                end += 1
    return end


def _name_end(text, place):
    end = place
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end
