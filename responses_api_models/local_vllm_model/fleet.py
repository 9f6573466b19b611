"""All vLLM processes of one model: started side by side, started again when one dies, ended together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from nemo_gym.errors import DeadlineExceeded, LaunchError
from nemo_gym.serving.http import HttpClient
from nemo_gym.upstream.replicas import Replicas
from responses_api_models.local_vllm_model.engine import Engine

log = logging.getLogger(__name__)

STOP_GRACE_S = 2.0
"""Less than the launcher gives a server to stop."""
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0


class Fleet:
    """Keeps `replicas` informed of which engines answer. `on_failure` is told when one died too often."""

    def __init__(
        self,
        engines: Sequence[Engine],
        http: HttpClient,
        replicas: Replicas,
        *,
        start_timeout_s: float,
        max_restarts: int,
        on_failure: Callable[[str], None],
    ) -> None:
        self.engines = engines
        self._http, self._replicas = http, replicas
        self._start_timeout_s, self._max_restarts, self._on_failure = start_timeout_s, max_restarts, on_failure
        self._healthy: set[str] = set()
        self._one_is_healthy = asyncio.Event()
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when all answer. Raises `LaunchError`, and leaves nothing running, where one does not."""
        tasks = [asyncio.create_task(self._bring_up(engine)) for engine in self.engines]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.stop()
            raise
        self._watchers = [asyncio.create_task(self._watch(engine)) for engine in self.engines]

    async def until_one_is_healthy(self, timeout_s: float) -> None:
        """Wait while all are being started again. Raises `DeadlineExceeded`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._one_is_healthy.wait()
        except TimeoutError:
            url = self.engines[0].url
            raise DeadlineExceeded("not sent: vLLM is being started again", url=url, delivered=False) from None

    async def stop(self) -> None:
        """End all of them."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(engine.stop(STOP_GRACE_S) for engine in self.engines))

    async def _bring_up(self, engine: Engine) -> None:
        await engine.start()
        await engine.until_healthy(self._http, self._start_timeout_s)
        self._replicas.mark_live(f"{engine.url}/v1")
        log.info("%s answers at %s", engine.name, engine.url)
        self._healthy.add(engine.name)
        self._one_is_healthy.set()

    async def _watch(self, engine: Engine) -> None:
        for restart in range(1, self._max_restarts + 1):
            log.warning("%s\nStarting it again (%d of %d).", await self._death(engine), restart, self._max_restarts)
            await asyncio.sleep(min(FIRST_BACKOFF_S * 2 ** (restart - 1), MAX_BACKOFF_S))
            try:
                await self._bring_up(engine)
            except LaunchError as error:
                log.warning("%s", error)
                await engine.stop(0)
        self._on_failure(await self._death(engine))

    async def _death(self, engine: Engine) -> str:
        """Wait for it; what is to be said of it."""
        code = await engine.ended()
        self._replicas.mark_dead(f"{engine.url}/v1")
        self._healthy.discard(engine.name)
        if not self._healthy:
            self._one_is_healthy.clear()
        return engine.report(f"ended with exit code {code}")
