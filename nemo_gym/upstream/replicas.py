"""Replicas: several endpoints of one model, of which each rollout uses one, and another when that one dies."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence


class Replicas:
    """Chooses an endpoint by key: the same for the same key, while the same endpoints are live.

    A rollout thus stays where the engine has cached its prompt. When an endpoint dies only its own rollouts move,
    spread over the others; after `cool_down_s` seconds it is tried again. `clock` gives seconds.
    """

    def __init__(self, urls: Sequence[str], cool_down_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._cool_down_s, self._clock = cool_down_s, clock
        self._back_at: dict[str, float] = {}

    def choose(self, key: str) -> str:
        """The endpoint for `key`: a live one; where all are dead, the one that comes back first."""
        now = self._clock()
        live = [url for url in self.urls if self._back_at.get(url, 0.0) <= now]
        if not live:
            return min(self.urls, key=lambda url: self._back_at[url])
        # Rendezvous hashing: the highest score wins, so taking one endpoint away moves no key of another.
        return live[0] if len(live) == 1 else max(live, key=lambda url: _score(key, url))

    def mark_dead(self, url: str) -> bool:
        """Note that nobody answers at `url`; whether another endpoint is live."""
        now = self._clock()
        self._back_at[url] = now + self._cool_down_s
        return any(self._back_at.get(other, 0.0) <= now for other in self.urls)

    def mark_live(self, url: str) -> None:
        """Note that `url` answers again, before its time."""
        self._back_at.pop(url, None)


def _score(key: str, url: str) -> bytes:
    return hashlib.blake2b(f"{key}\n{url}".encode(), digest_size=8).digest()
