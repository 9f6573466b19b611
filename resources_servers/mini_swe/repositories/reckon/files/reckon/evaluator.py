"""Tokens evaluated by the strength of their operators."""

from reckon.tokens import ReckonError, tokenize

STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 4}
SIGN_STRENGTH = 3
FUNCTIONS = {"min": min, "max": max, "abs": abs, "round": round}


def evaluate(text, names=None):
    """The value of an expression; `names` gives values by name. Raises `ReckonError`."""
    reader = _Reader(tokenize(text), names or {}, len(text))
    value = reader.expression(0)
    if reader.token is not None:
        raise ReckonError(f"unexpected {reader.token.text!r}", reader.token.position)
    return value


class _Reader:
    """Goes through the tokens once."""

    def __init__(self, tokens, names, end):
        self._tokens = tokens
        self._names = names
        self._end = end
        self._place = 0

    @property
    def token(self):
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def expression(self, weakest):
        """The value up to an operator that binds no stronger than `weakest`."""
        value = self.operand()
        while self.token is not None and self.token.kind == "operator" and STRENGTH[self.token.text] > weakest:
            operator = self.next()
            strength = STRENGTH[operator.text]
            from_right = operator.text == "^"
            right = self.expression(strength - 1 if from_right else strength)
            value = self.apply(operator, value, right)
        return value

    def operand(self):
        """A number, a name, a call, a bracket, or one of these with a sign."""
        token = self.next()
        if token.text == "-":
            return -self.expression(SIGN_STRENGTH)
        if token.text == "+":
            return self.expression(SIGN_STRENGTH)
        if token.kind == "number":
            return float(token.text) if set(token.text) & set(".eE") else int(token.text)
        if token.text == "(":
            value = self.expression(0)
            self.expect(")")
            return value
        if token.kind == "name":
            return self.named(token)
        raise ReckonError(f"unexpected {token.text!r}", token.position)

    def named(self, token):
        """A function's result or a name's value."""
        if self.token is not None and self.token.text == "(":
            if token.text not in FUNCTIONS:
                raise ReckonError(f"no function {token.text!r}", token.position)
            return FUNCTIONS[token.text](*self.arguments())
        if token.text not in self._names:
            raise ReckonError(f"no value for {token.text!r}", token.position)
        return self._names[token.text]

    def arguments(self):
        self.expect("(")
        values = [self.expression(0)]
        while self.token is not None and self.token.text == ",":
            self.next()
            values.append(self.expression(0))
        self.expect(")")
        return values

    def apply(self, operator, left, right):
        if operator.text in "/%" and right == 0:
            raise ReckonError("division by zero", operator.position)
        if operator.text == "+":
            return left + right
        if operator.text == "-":
            return left - right
        if operator.text == "*":
            return left * right
        if operator.text == "/":
            return left / right
        if operator.text == "%":
            return left % right
        return left**right

    def expect(self, text):
        token = self.next()
        if token.text != text:
            raise ReckonError(f"expected {text!r}, not {token.text!r}", token.position)

    def next(self):
        token = self.token
        if token is None:
            raise ReckonError("the text ends too early", self._end)
        self._place += 1
        return token
