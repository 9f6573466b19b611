import unittest
from decimal import Decimal
from fractions import Fraction

from purse import CurrencyMismatch, Money, digits_of, round_half_even, total


class TextTest(unittest.TestCase):
    def test_read(self):
        """Amounts are read with or without a point, with commas, and with fewer digits than the currency has."""
        for text, units in (
            ("12.50", 1250),
            ("12.5", 1250),
            ("12", 1200),
            ("1,234.56", 123456),
            (".05", 5),
            ("3.", 300),
        ):
            self.assertEqual(Money.of(text, "EUR").units, units)

    def test_read_negative(self):
        """The sign belongs to the whole amount, where that is less than one, too."""
        self.assertEqual(Money.of("-0.05", "EUR").units, -5)
        self.assertEqual(Money.of(" -12.50 ", "EUR").units, -1250)
        self.assertEqual(Money.of("+1", "EUR").units, 100)

    def test_digits(self):
        """Yen have no digits after the point, dinars three."""
        self.assertEqual(Money.of("500", "JPY").units, 500)
        self.assertEqual(Money.of("1.5", "KWD").units, 1500)
        self.assertEqual([digits_of(name) for name in ("JPY", "USD", "BHD")], [0, 2, 3])

    def test_refused(self):
        """What is no amount, or has more digits than the currency, is refused."""
        for text, currency in (
            ("", "EUR"),
            ("x", "EUR"),
            ("1.2.3", "EUR"),
            ("1.234", "EUR"),
            ("1.5", "JPY"),
            (".", "EUR"),
        ):
            with self.assertRaises(ValueError):
                Money.of(text, currency)

    def test_written(self):
        """Amounts are written with all digits of their currency and commas between thousands."""
        self.assertEqual(str(Money(123456, "EUR")), "1,234.56 EUR")
        self.assertEqual(str(Money(5, "EUR")), "0.05 EUR")
        self.assertEqual(str(Money(1200000, "JPY")), "1,200,000 JPY")
        self.assertEqual(str(Money(1500, "KWD")), "1.500 KWD")

    def test_written_negative(self):
        """Negative amounts are written with one sign before the number, between 0 and -1 as well."""
        self.assertEqual(str(Money(-5, "EUR")), "-0.05 EUR")
        self.assertEqual(str(Money(-123456, "EUR")), "-1,234.56 EUR")
        self.assertEqual(str(Money(0, "EUR")), "0.00 EUR")


class ArithmeticTest(unittest.TestCase):
    def test_sums(self):
        """Amounts of one currency are added and subtracted exactly."""
        self.assertEqual((Money(10, "EUR") + Money(20, "EUR")).units, 30)
        self.assertEqual((Money(10, "EUR") - Money(25, "EUR")).units, -15)
        self.assertEqual((-Money(7, "EUR")).units, -7)

    def test_mismatch(self):
        """Amounts of different currencies are neither added nor ordered, and are never equal."""
        one, other = Money(1, "EUR"), Money(1, "USD")
        for operation in (
            lambda: one + other,
            lambda: one - other,
            lambda: one < other,
            lambda: one <= other,
            lambda: one + 1,
        ):
            with self.assertRaises(CurrencyMismatch):
                operation()
        self.assertFalse(one == other)

    def test_order(self):
        """Amounts of one currency are ordered by size, and equal ones are equal."""
        small, large = Money(1, "EUR"), Money(2, "EUR")
        self.assertEqual([small < large, large < small, small < small], [True, False, False])
        self.assertEqual([small <= large, large <= small, small <= small], [True, False, True])
        self.assertTrue(small == Money(1, "EUR"))
        self.assertFalse(small == large)
        self.assertEqual(hash(small), hash(Money(1, "EUR")))

    def test_times(self):
        """An amount times a number is rounded to whole units, half a unit to the even one."""
        self.assertEqual((Money(101, "EUR") * Fraction(1, 2)).units, 50)
        self.assertEqual((Money(103, "EUR") * Fraction(1, 2)).units, 52)
        self.assertEqual((Money(100, "EUR") * Decimal("1.19")).units, 119)
        self.assertEqual((3 * Money(7, "EUR")).units, 21)
        self.assertEqual((Money(-101, "EUR") * Fraction(1, 2)).units, -50)

    def test_no_floats(self):
        """Floats are refused as factors and as units."""
        with self.assertRaises(TypeError):
            Money(1, "EUR") * 0.5
        with self.assertRaises(TypeError):
            Money(0.5, "EUR")
        with self.assertRaises(TypeError):
            Money(True, "EUR")

    def test_rounding(self):
        """Rounding goes to the nearest whole number, and from the middle to the even one, below zero as well."""
        halves = [round_half_even(Fraction(number, 2)) for number in (-3, -1, 1, 3, 5)]
        self.assertEqual(halves, [-2, 0, 0, 2, 2])
        self.assertEqual([round_half_even(Fraction(number, 10)) for number in (-16, 4, 6, 20)], [-2, 0, 1, 2])

    def test_total(self):
        """The total of no amounts is zero of the currency; other currencies are refused."""
        self.assertEqual(total([], "EUR").units, 0)
        self.assertEqual(total([Money(1, "EUR"), Money(2, "EUR")], "EUR").units, 3)
        with self.assertRaises(CurrencyMismatch):
            total([Money(1, "USD")], "EUR")


class AllocationTest(unittest.TestCase):
    def shares(self, units, weights):
        return [share.units for share in Money(units, "EUR").allocate(weights)]

    def test_nothing_is_lost(self):
        """Shares add up to the amount; units that cannot be divided go to the first shares."""
        self.assertEqual(self.shares(100, [1, 1, 1]), [34, 33, 33])
        self.assertEqual(self.shares(5, [1, 1, 1]), [2, 2, 1])
        self.assertEqual(self.shares(100, [70, 30]), [70, 30])
        self.assertEqual(self.shares(9, [3]), [9])

    def test_zero_weight(self):
        """A share of weight 0 gets nothing, not even of what is left over."""
        self.assertEqual(self.shares(5, [0, 1, 1]), [0, 3, 2])

    def test_negative_amount(self):
        """A negative amount is shared out like a positive one, with the sign turned."""
        self.assertEqual(self.shares(-100, [1, 1, 1]), [-34, -33, -33])

    def test_bad_weights(self):
        """Negative weights, or none above 0, are refused."""
        for weights in ([0, 0], [1, -1], [2, -1]):
            with self.assertRaises(ValueError):
                self.shares(10, weights)


class ConversionTest(unittest.TestCase):
    def test_converted(self):
        """An amount is converted by a rate between whole units, and the digits of both currencies are heeded."""
        self.assertEqual(Money(1000, "EUR").converted("1.08", "USD").units, 1080)
        self.assertEqual(Money(1000, "EUR").converted(Decimal("161.5"), "JPY").units, 1615)
        self.assertEqual(Money(1615, "JPY").converted("0.01", "EUR").units, 1615)
        self.assertEqual(Money(100, "EUR").converted("0.33", "KWD").units, 330)
        self.assertEqual(Money(100, "EUR").converted("0.33", "KWD").currency, "KWD")
