"""The cache itself: least recently used entries go first."""

from collections import OrderedDict

from shelf.statistics import Statistics


class Cache:
    """At most `capacity` entries. `clock` returns seconds; without it nothing expires."""

    def __init__(self, capacity, clock=None):
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self.capacity = capacity
        self.statistics = Statistics()
        self._clock = clock
        self._entries = OrderedDict()

    def put(self, key, value, ttl_s=None):
        """Keep `value`, for `ttl_s` seconds if given. Counts as a use of the key."""
        expires = self._now() + ttl_s if ttl_s is not None else None
        if key in self._entries:
            self._entries.pop(key)
        self._entries[key] = (value, expires)
        while len(self._entries) > self.capacity:
            self._make_room()

    def get(self, key, default=None):
        """The value, which counts as used; `default` where there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry):
            self._entries.pop(key, None)
            self.statistics.misses += 1
            return default
        self._entries.move_to_end(key)
        self.statistics.hits += 1
        return entry[0]

    def peek(self, key, default=None):
        """As `get`, but it neither counts as a use nor in the statistics."""
        entry = self._entries.get(key)
        return default if entry is None or self._expired(entry) else entry[0]

    def delete(self, key):
        """Forget a key; returns whether it was there."""
        return self._entries.pop(key, None) is not None

    def resize(self, capacity):
        """Change the capacity; the least recently used entries that no longer fit are dropped."""
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self.capacity = capacity
        while len(self._entries) > capacity:
            self._make_room()

    def keys(self):
        """Keys of what has not expired, the least recently used first."""
        return [key for key, entry in self._entries.items() if not self._expired(entry)]

    def __len__(self):
        return len(self.keys())

    def __contains__(self, key):
        return key in self.keys()

    def _make_room(self):
        """Drop what has expired; if nothing has, the least recently used entry."""
        expired = [key for key, entry in self._entries.items() if self._expired(entry)]
        for key in expired:
            self._entries.pop(key)
        if not expired:
            self._entries.popitem(last=False)
            self.statistics.evictions += 1

    def _expired(self, entry):
        return entry[1] is not None and entry[1] <= self._now()

    def _now(self):
        return self._clock() if self._clock is not None else 0.0
