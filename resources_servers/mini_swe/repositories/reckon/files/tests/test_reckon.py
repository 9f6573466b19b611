import unittest

from reckon import ReckonError, evaluate


class EvaluateTest(unittest.TestCase):
    def test_a_sum(self):
        self.assertEqual(evaluate("1 + 2"), 3)

    def test_names_have_values(self):
        self.assertEqual(evaluate("x", {"x": 7}), 7)

    def test_an_unknown_sign_is_refused(self):
        with self.assertRaises(ReckonError):
            evaluate("1 $ 2")
