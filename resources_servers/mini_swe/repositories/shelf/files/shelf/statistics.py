"""How well a cache does."""


class Statistics:
    """Counts of what happened to a cache."""

    def __init__(self):
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    @property
    def hit_rate(self):
        """The share of look-ups that found something, 0.0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0

    def reset(self):
        """Begin to count anew."""
        self.hits = self.misses = self.evictions = 0
