import unittest

from reckon import ReckonError, evaluate, tokenize


class OperatorTest(unittest.TestCase):
    def test_strength(self):
        """`*`, `/` and `%` bind stronger than `+` and `-`, and `^` stronger than all of them."""
        self.assertEqual(evaluate("2 + 3 * 4"), 14)
        self.assertEqual(evaluate("2 * 3 + 4"), 10)
        self.assertEqual(evaluate("10 - 7 % 4"), 7)
        self.assertEqual(evaluate("2 * 3 ^ 2"), 18)

    def test_from_left(self):
        """Operators of the same strength are applied from the left: `10 - 4 - 3` is 3."""
        self.assertEqual(evaluate("10 - 4 - 3"), 3)
        self.assertEqual(evaluate("100 / 10 / 2"), 5.0)
        self.assertEqual(evaluate("20 % 12 * 2"), 16)
        self.assertEqual(evaluate("7 - 2 + 5"), 10)

    def test_power_from_right(self):
        """Powers group from the right: `2 ^ 3 ^ 2` is 512."""
        self.assertEqual(evaluate("2 ^ 3 ^ 2"), 512)
        self.assertEqual(evaluate("(2 ^ 3) ^ 2"), 64)

    def test_sign(self):
        """A sign binds stronger than `*` but weaker than `^`: `-2 ^ 2` is -4."""
        self.assertEqual(evaluate("-2 ^ 2"), -4)
        self.assertEqual(evaluate("-2 * 3"), -6)
        self.assertEqual(evaluate("2 * -3"), -6)
        self.assertEqual(evaluate("4 - -3"), 7)
        self.assertEqual(evaluate("+5 - +2"), 3)
        self.assertEqual(evaluate("-2 + 5"), 3)
        self.assertEqual(evaluate("2 ^ -1"), 0.5)

    def test_brackets(self):
        """Brackets come first, however deep."""
        self.assertEqual(evaluate("(2 + 3) * (4 - 1)"), 15)
        self.assertEqual(evaluate("((2))*(((3)))"), 6)

    def test_division(self):
        """`/` divides exactly, `%` gives the rest, and dividing by zero is a `ReckonError`."""
        self.assertEqual(evaluate("7 / 2"), 3.5)
        self.assertEqual(evaluate("7 % 3"), 1)
        for text in ("1 / 0", "1 % 0", "1 / (2 - 2)"):
            with self.assertRaises(ReckonError):
                evaluate(text)
        self.assertEqual(evaluate("0 * 5"), 0)


class NumberTest(unittest.TestCase):
    def test_numbers(self):
        """Whole numbers, points at any place, and exponents are read."""
        self.assertEqual(evaluate("12"), 12)
        self.assertEqual(evaluate(".5 + 1."), 1.5)
        self.assertEqual(evaluate("25e-1"), 2.5)
        self.assertEqual(evaluate("1E+2 + 1e2"), 200.0)

    def test_exponent_needs_digits(self):
        """An `e` without digits after it does not belong to the number before it."""
        self.assertEqual(str(tokenize("2e")), "[number:2, name:e]")
        self.assertEqual(str(tokenize("2e+x")), "[number:2, name:e, operator:+, name:x]")

    def test_bad_numbers(self):
        """A number with two points, or a point alone, is refused."""
        for text in ("1.2.3", ".", "1 + ."):
            with self.assertRaises(ReckonError):
                evaluate(text)


class NameTest(unittest.TestCase):
    def test_names(self):
        """Names may hold digits and underscores, and have the values that are given."""
        self.assertEqual(evaluate("unit_price2 * n", {"unit_price2": 3, "n": 5}), 15)
        self.assertEqual(evaluate("_x", {"_x": 1}), 1)
        with self.assertRaises(ReckonError):
            evaluate("y", {"x": 1})

    def test_functions(self):
        """Functions take one or more arguments, each an expression of its own."""
        self.assertEqual(evaluate("max(1, 2 + 3, 4)"), 5)
        self.assertEqual(evaluate("min(4, 2) * abs(-3)"), 6)
        self.assertEqual(evaluate("round(7 / 2 - 1)"), 2)
        with self.assertRaises(ReckonError):
            evaluate("sqrt(4)")

    def test_name_like_function(self):
        """A name that is also a function's can hold a value."""
        self.assertEqual(evaluate("max + 1", {"max": 9}), 10)


class MistakeTest(unittest.TestCase):
    def position(self, text):
        with self.assertRaises(ReckonError) as caught:
            evaluate(text)
        return caught.exception.position

    def test_positions(self):
        """A `ReckonError` tells at which character the text goes wrong, counted from 0."""
        self.assertEqual(self.position("1 + $"), 4)
        self.assertEqual(self.position("1 2"), 2)
        self.assertEqual(self.position("(1 + 2"), 6)
        self.assertEqual(self.position("1 +"), 3)
        self.assertEqual(self.position("2 * x"), 4)
        self.assertEqual(self.position("8 + 1 / 0"), 6)
        self.assertEqual(self.position("* 2"), 0)
        self.assertEqual(self.position("max(1 2)"), 6)

    def test_leftovers(self):
        """What is left over after a whole expression is a mistake, not ignored."""
        for text in ("1)", "(1)(2)", "x y", "1, 2", "2 x"):
            with self.assertRaises(ReckonError):
                evaluate(text, {"x": 1, "y": 2})

    def test_empty(self):
        """A text without any token is refused."""
        for text in ("", "   ", "()", "max()"):
            with self.assertRaises(ReckonError):
                evaluate(text)

    def test_tokens(self):
        """Spaces only separate tokens, and each token knows where it begins."""
        tokens = tokenize(" 12*( a_1,")
        self.assertEqual(
            [(one.kind, one.text, one.position) for one in tokens],
            [
                ("number", "12", 1),
                ("operator", "*", 3),
                ("bracket", "(", 4),
                ("name", "a_1", 6),
                ("bracket", ",", 9),
            ],
        )
