import unittest

from signpost import NoRoute, Router


class RouterTest(unittest.TestCase):
    def test_a_fixed_path(self):
        routes = Router()
        routes.add("/about", "about")
        self.assertEqual(routes.match("/about").name, "about")

    def test_an_unknown_path(self):
        with self.assertRaises(NoRoute):
            Router().match("/nothing")
