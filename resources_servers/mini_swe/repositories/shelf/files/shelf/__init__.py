"""A cache of bounded size."""

from shelf.cache import Cache
from shelf.statistics import Statistics

__all__ = ["Cache", "Statistics"]
