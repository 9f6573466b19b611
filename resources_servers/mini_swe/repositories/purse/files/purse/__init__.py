"""Amounts of money."""

from purse.currency import digits_of, round_half_even
from purse.money import CurrencyMismatch, Money, total

__all__ = ["CurrencyMismatch", "Money", "digits_of", "round_half_even", "total"]
