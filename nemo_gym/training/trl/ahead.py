"""Batches ahead: rollouts of the batches to come are made while earlier ones are trained."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from trl import GRPOTrainer

from nemo_gym.training.trl.ladder import Played, error_of, finished
from nemo_gym.training.trl.prompts import Prompt

logger = logging.getLogger(__name__)

Begin = Callable[[Sequence[Prompt]], Future[list[Played]] | None]
"""Begins the rollouts of a batch in the background; None where none of its prompts is played."""


@dataclass(frozen=True)
class Begun:
    """A batch whose rollouts are under way."""

    prompts: list[Prompt]
    future: Future[list[Played]] | None
    batch: int
    """Number of the batch in whose training they were begun."""


class BatchesAhead:
    """Begins the rollouts of at most `number` batches beyond the one that is trained."""

    def __init__(self, number: int, begin: Begin) -> None:
        self._number, self._begin = number, begin
        self._begun: deque[Begun] = deque()
        self._taken: list[Future[list[Played]]] = []
        self._order: Iterator[list[Prompt]] | None = None
        self.missed = 0
        """Batches that came in another order than foreseen: their rollouts were made when they came."""

    def take(self, trainer: GRPOTrainer, prompts: list[Prompt], batch: int) -> Begun:
        """The rollouts of this batch, begun now or before; and begin those of the batches after it."""
        current = self._current(prompts, batch)
        self._taken = [] if current.future is None else [current.future]
        if self._number:
            self._look_ahead(trainer, prompts, batch)
        return current

    def result(self, begun: Begun) -> list[Played]:
        """Wait for a batch. Raises at once what the rollouts of any batch raise, and ends them all."""
        future = begun.future
        while future is not None and not future.done():
            self.raise_errors()
            wait([future, *self._unfinished()], return_when=FIRST_COMPLETED)
        self.raise_errors()
        return [] if future is None else finished(future)

    def raise_errors(self) -> None:
        """Raise what ended the rollouts of a batch to come, if something did. Does not wait."""
        for future in self._futures():
            if future.done() and (error := error_of(future)) is not None:
                self.cancel()
                raise error

    def cancel(self) -> None:
        """Forget the batches to come, and end their rollouts and those of the present one."""
        for future in [*self._futures(), *self._taken]:
            future.cancel()
        self._begun.clear()
        self._order = None

    def _futures(self) -> list[Future[list[Played]]]:
        return [one.future for one in self._begun if one.future is not None]

    def _unfinished(self) -> list[Future[list[Played]]]:
        return [future for future in self._futures() if not future.done()]

    def _current(self, prompts: list[Prompt], batch: int) -> Begun:
        if self._begun and self._begun[0].prompts == prompts:
            return self._begun.popleft()
        if self._begun:
            self.missed += 1
            logger.warning("a batch came that was not foreseen: %d batches begun ahead are dropped", len(self._begun))
            self.cancel()
        return Begun(prompts, self._begin(prompts), batch)

    def _look_ahead(self, trainer: GRPOTrainer, prompts: list[Prompt], batch: int) -> None:
        if self._order is None:
            self._order = _after(prompts, trainer)
        wanted = min(self._number, _batches_left(trainer))
        while len(self._begun) < wanted:
            following = next(self._order)
            self._begun.append(Begun(following, self._begin(following), batch))


def foreseen_batches(trainer: GRPOTrainer) -> Iterator[list[Prompt]]:
    """The generation batches of this process in the order in which the trainer's sampler gives them, without end."""
    dataset, accelerator = trainer.train_dataset, trainer.accelerator
    sampler = trainer._get_train_sampler(dataset)
    size = trainer._train_batch_size * trainer.args.steps_per_generation
    every = steps_between_generations(trainer)
    while True:
        indices = [*sampler]
        batches = [indices[start : start + size] for start in range(0, len(indices), size)]
        for batch in batches[accelerator.process_index :: accelerator.num_processes][::every]:
            yield [dataset[index]["prompt"] for index in batch]


def steps_between_generations(trainer: GRPOTrainer) -> int:
    """Micro-steps that one generation batch serves."""
    steps: int = trainer.args.steps_per_generation * trainer.num_iterations
    return steps


def _after(prompts: list[Prompt], trainer: GRPOTrainer) -> Iterator[list[Prompt]]:
    """The batches after this one; in the order from the beginning where it is not among those of an epoch."""
    order = foreseen_batches(trainer)
    for _ in range(max(1, len(trainer.train_dataset))):
        if next(order) == prompts:
            return order
    return foreseen_batches(trainer)


def _batches_left(trainer: GRPOTrainer) -> int:
    """Generation batches after the present one until training ends."""
    every = steps_between_generations(trainer)
    accumulated: int = trainer.args.gradient_accumulation_steps
    steps, begun_steps = trainer.state.max_steps * accumulated, trainer.state.global_step * accumulated
    left: int = -(-(steps - begun_steps) // every) - 1
    return max(0, left)
