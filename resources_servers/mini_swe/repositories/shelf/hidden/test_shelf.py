import unittest

from shelf import Cache, Statistics


class EvictionTest(unittest.TestCase):
    def test_least_recent(self):
        """When the cache is full, the entry that was used least recently is dropped, and only that one."""
        cache = Cache(3)
        for key in ("a", "b", "c", "d"):
            cache.put(key, key.upper())
        self.assertEqual(cache.keys(), ["b", "c", "d"])

    def test_get_counts(self):
        """Reading a key with `get` counts as a use: it is not the next one to be dropped."""
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        self.assertEqual(cache.get("a"), 1)
        cache.put("c", 3)
        self.assertEqual(cache.keys(), ["a", "c"])

    def test_put_again_counts(self):
        """Putting a key that is there replaces its value and counts as a use."""
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        cache.put("a", 3)
        cache.put("c", 4)
        self.assertEqual(cache.keys(), ["a", "c"])
        self.assertEqual(cache.get("a"), 3)

    def test_peek_does_not_count(self):
        """`peek` returns the value, but changes neither the order of use nor the statistics."""
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        self.assertEqual(cache.peek("a"), 1)
        self.assertEqual(cache.peek("z", 9), 9)
        cache.put("c", 3)
        self.assertEqual(cache.keys(), ["b", "c"])
        self.assertEqual((cache.statistics.hits, cache.statistics.misses), (0, 0))

    def test_resize(self):
        """`resize` to a smaller capacity drops the least recently used entries until the rest fits."""
        cache = Cache(4)
        for key in range(4):
            cache.put(key, key)
        cache.get(0)
        cache.resize(2)
        self.assertEqual(cache.keys(), [3, 0])
        cache.put(9, 9)
        self.assertEqual(len(cache), 2)
        with self.assertRaises(ValueError):
            cache.resize(0)


class ExpiryTest(unittest.TestCase):
    def setUp(self):
        self.now = 0.0
        self.cache = Cache(2, clock=lambda: self.now)

    def test_expires(self):
        """An entry is gone from the moment at which its `ttl_s` seconds are over, and not before."""
        self.now = 100.0
        self.cache.put("a", 1, ttl_s=10)
        self.now = 109.5
        self.assertEqual(self.cache.get("a"), 1)
        self.now = 110.0
        self.assertIsNone(self.cache.get("a"))
        self.assertNotIn("a", self.cache)

    def test_length(self):
        """Expired entries count neither in `len()` nor in `keys()`."""
        self.now = 0.0
        self.cache.put("a", 1, ttl_s=5)
        self.cache.put("b", 2)
        self.now = 6.0
        self.assertEqual(len(self.cache), 1)
        self.assertEqual(self.cache.keys(), ["b"])
        self.assertIsNone(self.cache.peek("a"))

    def test_expired_first(self):
        """When room is needed, expired entries go before good ones, however recently they were used."""
        self.now = 0.0
        self.cache.put("good", 1)
        self.cache.put("stale", 2, ttl_s=5)
        self.now = 6.0
        self.cache.put("new", 3)
        self.assertEqual(self.cache.keys(), ["good", "new"])
        self.assertEqual(self.cache.statistics.evictions, 0)

    def test_no_ttl(self):
        """An entry without `ttl_s` never expires, and putting a key again without it lifts an earlier limit."""
        self.now = 0.0
        self.cache.put("a", 1, ttl_s=5)
        self.cache.put("a", 2)
        self.now = 1e9
        self.assertEqual(self.cache.get("a"), 2)

    def test_ttl_zero(self):
        """`ttl_s=0` means that the entry has expired at once."""
        self.now = 3.0
        self.cache.put("a", 1, ttl_s=0)
        self.assertEqual(self.cache.get("a", "none"), "none")


class CountingTest(unittest.TestCase):
    def test_falsy_values(self):
        """Values such as 0, an empty text or None are found like any others."""
        cache = Cache(4)
        for key, value in (("zero", 0), ("empty", ""), ("none", None)):
            cache.put(key, value)
            self.assertEqual(cache.get(key, "absent"), value)
            self.assertIn(key, cache)
        self.assertTrue(cache.delete("none"))
        self.assertFalse(cache.delete("none"))

    def test_statistics(self):
        """Hits, misses and evictions are counted, and `hit_rate` is the share of hits."""
        cache = Cache(1)
        cache.put("a", 1)
        cache.get("a")
        cache.get("a")
        cache.get("b")
        cache.put("b", 2)
        cache.get("a")
        statistics = cache.statistics
        self.assertEqual((statistics.hits, statistics.misses, statistics.evictions), (2, 2, 1))
        self.assertEqual(statistics.hit_rate, 0.5)
        statistics.reset()
        self.assertEqual(statistics.hit_rate, 0.0)
        self.assertEqual((statistics.hits, statistics.misses, statistics.evictions), (0, 0, 0))
        self.assertEqual(Statistics().hit_rate, 0.0)
