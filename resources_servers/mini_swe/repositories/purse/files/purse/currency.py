"""What is known of currencies, and how amounts are rounded."""

from fractions import Fraction

_DIGITS = {"JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3, "TND": 3}


def digits_of(currency):
    """Digits after the point in amounts of this currency."""
    return _DIGITS.get(currency, 2)


def round_half_even(value):
    """The nearest whole number; of two equally near ones the even one."""
    value = Fraction(value)
    low = value.numerator // value.denominator
    rest = value - low
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1):
        return low + 1
    return low
