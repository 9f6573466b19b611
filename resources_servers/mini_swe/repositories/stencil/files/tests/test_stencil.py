import unittest

from stencil import StencilError, render


class RenderTest(unittest.TestCase):
    def test_a_value(self):
        self.assertEqual(render("Hello {{ name }}!", {"name": "Ada"}), "Hello Ada!")

    def test_a_missing_value(self):
        with self.assertRaises(StencilError):
            render("{{ name }}", {})
