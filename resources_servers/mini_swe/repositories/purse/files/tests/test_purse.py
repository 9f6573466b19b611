import unittest

from purse import CurrencyMismatch, Money


class MoneyTest(unittest.TestCase):
    def test_amounts_add_up(self):
        self.assertEqual((Money.of("1.10", "EUR") + Money.of("2.20", "EUR")).units, 330)

    def test_currencies_do_not_mix(self):
        with self.assertRaises(CurrencyMismatch):
            Money(1, "EUR") + Money(1, "USD")
