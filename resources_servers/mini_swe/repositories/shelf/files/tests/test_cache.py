import unittest

from shelf import Cache


class CacheTest(unittest.TestCase):
    def test_what_is_put_can_be_got(self):
        cache = Cache(2)
        cache.put("a", 1)
        self.assertEqual(cache.get("a"), 1)
        self.assertEqual(cache.get("b", "none"), "none")

    def test_a_capacity_below_one_is_refused(self):
        with self.assertRaises(ValueError):
            Cache(0)
