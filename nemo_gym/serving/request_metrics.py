"""What a server did: requests by route and status, their durations, those in progress; in Prometheus' text format."""

from __future__ import annotations

import time
from collections import defaultdict

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RequestMetrics:
    """Counters of one server process."""

    def __init__(self) -> None:
        self.in_progress = 0
        self._count: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._max_seconds: defaultdict[str, float] = defaultdict(float)

    def record(self, route: str, status: int, seconds: float) -> None:
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
        lines += ["# TYPE ng_requests_in_progress gauge", f"ng_requests_in_progress {self.in_progress}"]
        return "\n".join(lines) + "\n"


class RequestMetricsMiddleware:
    """Counts every request. The route's own path is the label, so that the labels are few whatever is asked for."""

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.in_progress += 1
        try:
            await self.app(scope, receive, send_and_note_status)
        finally:
            self.metrics.in_progress -= 1
            route = scope.get("route")
            self.metrics.record(route.path if route is not None else "unknown", status, time.perf_counter() - started)
