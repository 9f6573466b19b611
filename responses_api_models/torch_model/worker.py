"""The thread that samples: requests join between steps, and finish on the weights they began with."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

import torch

from responses_api_models.torch_model.batch import Batch, Limits, Snapshot
from responses_api_models.torch_model.continuation import Continuation

log = logging.getLogger(__name__)


class Worker:
    """Has one batch for each snapshot that still has requests. Its methods may be called from any thread."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self._snapshot, self._limits = snapshot, limits
        self._arrived: deque[Continuation] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="torch_model worker", daemon=True)
        self._thread.start()

    @property
    def snapshot(self) -> Snapshot:
        """That of requests which begin now."""
        return self._snapshot

    def submit(self, continuation: Continuation) -> None:
        """Have it sampled. Its `answer` is set in the worker's thread."""
        with self._changed:
            if self._closed:
                continuation.answer.cancel()
                return
            self._arrived.append(continuation)
            self._changed.notify()

    def replace(self, snapshot: Snapshot) -> None:
        """From now on requests begin on this one; those under way go on as they are."""
        with self._changed:
            self._snapshot = snapshot

    def close(self) -> None:
        """End the thread; what is under way is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode():
            self._sample_until_closed()

    def _sample_until_closed(self) -> None:
        batches = [Batch(self._snapshot, self._limits)]
        waiting: deque[Continuation] = deque()
        while True:
            with self._changed:
                while not (self._closed or self._arrived or waiting or any(not batch.is_empty for batch in batches)):
                    self._changed.wait()
                waiting.extend(self._arrived)
                self._arrived.clear()
                snapshot, closed = self._snapshot, self._closed
            if closed:
                for continuation in waiting:
                    continuation.answer.cancel()
                for batch in batches:
                    batch.cancel()
                return
            if snapshot is not batches[-1].snapshot:
                batches.append(Batch(snapshot, self._limits))
            newest = batches[-1]
            self._guarded(newest, partial(newest.admit, waiting))
            for batch in batches:
                self._guarded(batch, batch.step)
            batches = [batch for batch in batches if batch is newest or not batch.is_empty]

    def _guarded(self, batch: Batch, work: Callable[[], None]) -> None:
        """A pass that fails, as for want of memory, ends its batch's requests, not the worker."""
        try:
            work()
        except Exception as error:
            log.exception("a batch of version %r failed", batch.snapshot.policy_version)
            batch.fail(error)
