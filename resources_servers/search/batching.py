"""Batches: what is asked within a few milliseconds is answered together, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class QueueFull(Exception):
    """More is waiting than can be answered soon."""


@dataclass
class BatchCounts:
    """What was done so far."""

    questions: int = 0
    batches: int = 0
    largest_batch: int = 0


class Batcher(Generic[Question, Answer]):
    """Gathers questions for `wait_s` seconds, or until there are `max_batch_size`, and has them answered together.

    While one batch is being answered the next one gathers. The event loop never waits for an answer.
    """

    def __init__(
        self,
        answer_all: Callable[[list[Question]], list[Answer]],
        *,
        max_batch_size: int,
        wait_s: float,
        max_waiting: int,
    ) -> None:
        """`answer_all` is called in a thread, one batch at a time; its answers are in the order of the questions."""
        self.counts = BatchCounts()
        self._answer_all = answer_all
        self._max_batch_size, self._wait_s, self._max_waiting = max_batch_size, wait_s, max_waiting
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._full = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")

    async def ask(self, question: Question) -> Answer:
        """The answer to one question. Raises `QueueFull`, and what `answer_all` raised for the whole batch."""
        if len(self._waiting) >= self._max_waiting:
            raise QueueFull
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if len(self._waiting) >= self._max_batch_size:
            self._full.set()
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

    def close(self) -> None:
        """Stop; questions that wait are not answered any more."""
        if self._working is not None:
            self._working.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                # Who went away meanwhile is not answered.
                batch = [(question, answer) for question, answer in self._take() if not answer.done()]
                if batch:
                    await self._answer(batch)
        finally:
            self._working = None

    async def _gather(self) -> None:
        if self._wait_s > 0 and len(self._waiting) < self._max_batch_size:
            self._full.clear()
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._full.wait()
            except TimeoutError:
                pass

    def _take(self) -> list[tuple[Question, asyncio.Future[Answer]]]:
        taken, self._waiting = self._waiting[: self._max_batch_size], self._waiting[self._max_batch_size :]
        return taken

    async def _answer(self, batch: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        counts = self.counts
        counts.questions += len(batch)
        counts.batches += 1
        counts.largest_batch = max(counts.largest_batch, len(batch))
        questions = [question for question, _ in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._answer_all, questions)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the answer is awaited
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
