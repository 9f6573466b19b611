"""One amount in one currency."""

from fractions import Fraction

from purse.currency import digits_of, round_half_even


class CurrencyMismatch(ValueError):
    """Two currencies where one is needed."""


class Money:
    """`units` is a whole number of the currency's smallest unit, such as cents."""

    def __init__(self, units, currency):
        if not isinstance(units, int) or isinstance(units, bool):
            raise TypeError("units must be a whole number")
        self.units = units
        self.currency = currency

    @classmethod
    def of(cls, text, currency):
        """An amount as people write it: "1,234.50", "-0.05". More digits than the currency has are refused."""
        sign = -1 if text.strip().startswith("-") else 1
        plain = text.strip().lstrip("+-").replace(",", "")
        whole, _, part = plain.partition(".")
        digits = digits_of(currency)
        if not (whole + part).isdecimal() or len(part) > digits:
            raise ValueError(f"{text!r} is no amount of {currency}")
        return cls(sign * int((whole or "0") + part.ljust(digits, "0")), currency)

    def __str__(self):
        digits = digits_of(self.currency)
        text = str(abs(self.units)).rjust(digits + 1, "0")
        whole, part = text[: len(text) - digits], text[len(text) - digits :]
        sign = "-" if self.units < 0 else ""
        return f"{sign}{int(whole):,}{'.' + part if part else ''} {self.currency}"

    def __repr__(self):
        return f"Money({self.units}, {self.currency!r})"

    def __eq__(self, other):
        if not isinstance(other, Money):
            return NotImplemented
        return (self.units, self.currency) == (other.units, other.currency)

    def __hash__(self):
        return hash((self.units, self.currency))

    def __lt__(self, other):
        return self.units < self._same(other).units

    def __le__(self, other):
        return self.units <= self._same(other).units

    def __add__(self, other):
        return Money(self.units + self._same(other).units, self.currency)

    def __sub__(self, other):
        return Money(self.units - self._same(other).units, self.currency)

    def __neg__(self):
        return Money(-self.units, self.currency)

    def __mul__(self, factor):
        """Times a number; the result is rounded half to even. Floats are refused: they are not exact."""
        if isinstance(factor, float):
            raise TypeError("use an int, a Fraction or a Decimal")
        return Money(round_half_even(self.units * Fraction(factor)), self.currency)

    __rmul__ = __mul__

    def allocate(self, weights):
        """Share the amount out by weights, to the last unit; what cannot be divided goes to the first shares."""
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError("weights must not be negative, and not all 0")
        shares = [abs(self.units) * weight // whole for weight in weights]
        rest = abs(self.units) - sum(shares)
        for place, weight in enumerate(weights):
            if rest > 0 and weight > 0:
                shares[place] += 1
                rest -= 1
        sign = -1 if self.units < 0 else 1
        return [Money(sign * share, self.currency) for share in shares]

    def converted(self, rate, currency):
        """In another currency; `rate` is what one whole of this currency costs there."""
        factor = Fraction(rate) * Fraction(10) ** (digits_of(currency) - digits_of(self.currency))
        return Money(round_half_even(self.units * factor), currency)

    def _same(self, other):
        if not isinstance(other, Money) or other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {getattr(other, 'currency', other)!r}")
        return other


def total(amounts, currency):
    """The sum of amounts, all in one currency; zero of it where there are none."""
    result = Money(0, currency)
    for amount in amounts:
        result = result + amount
    return result
