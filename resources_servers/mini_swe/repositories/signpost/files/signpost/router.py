"""Patterns with their handlers."""

from signpost.pattern import Pattern


class NoRoute(LookupError):
    """No pattern fits a path, or no handler has the name; `allowed` holds methods for which a path would fit."""

    def __init__(self, message, allowed=()):
        super().__init__(message)
        self.allowed = sorted(allowed)


class Match:
    """A handler's name and the values in the path."""

    def __init__(self, name, values):
        self.name = name
        self.values = values


class Router:
    """Patterns under an optional prefix."""

    def __init__(self, prefix=""):
        self.prefix = prefix.rstrip("/")
        self._routes = []

    def add(self, pattern, name, methods=("GET",)):
        """Add a handler. A handler may have several patterns."""
        route = (Pattern(self.prefix + pattern), name, frozenset(method.upper() for method in methods))
        self._routes.append(route)
        self._routes.sort(key=lambda route: route[0].rank)

    def match(self, path, method="GET"):
        """The first pattern that fits; a slash at the end does not matter. Raises `NoRoute`."""
        allowed = set()
        plain = path.rstrip("/") or "/"
        for pattern, name, methods in self._routes:
            values = pattern.match(plain)
            if values is None:
                continue
            if method.upper() in methods:
                return Match(name, values)
            allowed |= methods
        raise NoRoute(f"{method} {path}", allowed)

    def path(self, name, /, **values):
        """The path of a handler: of its patterns, the first that takes exactly these values. Raises `NoRoute`."""
        for pattern, own_name, _ in self._routes:
            if own_name != name:
                continue
            try:
                return pattern.path(values)
            except ValueError:
                continue
        raise NoRoute(f"no pattern of {name!r} takes {sorted(values)}")
