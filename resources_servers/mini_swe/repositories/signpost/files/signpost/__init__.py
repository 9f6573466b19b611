"""URL paths and their handlers."""

from signpost.pattern import Pattern
from signpost.query import parse_query, write_query
from signpost.router import Match, NoRoute, Router

__all__ = ["Match", "NoRoute", "Pattern", "Router", "parse_query", "write_query"]
