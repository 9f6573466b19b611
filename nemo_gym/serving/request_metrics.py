"""What a server did: requests by route and status, their durations, those in progress; in Prometheus' text format."""

from __future__ import annotations

from collections import defaultdict

from nemo_gym.serving.in_flight import InFlight


class RequestMetrics:
    """Counters of one server process."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self._count: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._max_seconds: defaultdict[str, float] = defaultdict(float)

    def record(self, route: str, status: int, seconds: float) -> None:
        """`route` is the route's own path, so that the labels are few whatever is asked for."""
        self._count[route, status] += 1
        self._seconds[route] += seconds
        self._max_seconds[route] = max(self._max_seconds[route], seconds)

    def render(self) -> str:
        """Prometheus text exposition format, version 0.0.4."""
        lines = ["# TYPE ng_requests_total counter"]
        lines += [
            f'ng_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self._count.items())
        ]
        lines.append("# TYPE ng_request_seconds_total counter")
        lines += [f'ng_request_seconds_total{{route="{route}"}} {value:.6f}' for route, value in self._seconds.items()]
        lines.append("# TYPE ng_request_seconds_max gauge")
        lines += [
            f'ng_request_seconds_max{{route="{route}"}} {value:.6f}' for route, value in self._max_seconds.items()
        ]
        lines += ["# TYPE ng_requests_in_progress gauge", f"ng_requests_in_progress {len(self.in_flight)}"]
        return "\n".join(lines) + "\n"
