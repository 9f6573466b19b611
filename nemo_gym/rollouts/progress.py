"""Progress of a collection: a live bar on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.tally import Tally

BAR_EVERY_S = 0.2
LINE_EVERY_S = 5.0
OLD_S = 30.0
"""A rollout that has run for longer is named; `ng_status` says where it stands."""
ALARMING_FAILURES = 10
"""So many failures in a row are told of at once: the cause may be the same for all that is still to come."""


class ProgressDisplay:
    """Shows a tally as it grows, in a thread of its own, so that a stall shows too. Used as a context manager."""

    def __init__(self, console: Console, ongoing: Ongoing | None = None) -> None:
        """`ongoing`: the rollouts that run, of which an old one is named."""
        self._console, self._ongoing = console, ongoing
        self._tally: Tally | None = None
        self._started_at = 0.0
        self._finished_before = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def update(self, tally: Tally) -> None:
        """Take note of the tally. Call it at the start, which starts the clock, and after each rollout."""
        if self._tally is None:
            self._started_at = time.monotonic()
            self._finished_before = tally.completed
            self._tally = tally
        if tally.failed_in_a_row == ALARMING_FAILURES:
            notice = f"{ALARMING_FAILURES} rollouts in a row have failed, the last with {tally.last_failure}"
            self._console.print(notice, markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """`17/20 · 5.1/s · mean reward 0.812 · failed model_error 1 · 0:04 left`"""
        tally = self._tally
        if tally is None:
            return "reading the task file"
        parts = [f"{tally.completed + tally.num_failed}/{tally.requested}", self._speed(tally)]
        if tally.mean_reward is not None:
            parts.append(f"mean reward {tally.mean_reward:.3f}")
        if tally.num_failed:
            parts.append(f"failed {tally.failures_text()}")
        left = self._time_left(tally)
        if left:
            parts.append(f"{left} left")
        oldest = self._ongoing.oldest() if self._ongoing else None
        if oldest is not None and oldest[1] > OLD_S:
            parts.append(f"{oldest[0]} runs for {_minutes(oldest[1])}")
        return " · ".join(parts)

    def _speed(self, tally: Tally) -> str:
        elapsed_s = time.monotonic() - self._started_at
        return f"{(tally.completed - self._finished_before) / max(elapsed_s, 0.001):.1f}/s"

    def _time_left(self, tally: Tally) -> str | None:
        completed = tally.completed - self._finished_before
        if completed <= 0 or tally.not_run == 0:
            return None
        return _minutes((time.monotonic() - self._started_at) / completed * tally.not_run)

    def _show(self) -> None:
        if self._console.is_terminal:
            self._show_bar()
            return
        while not self._ended.wait(LINE_EVERY_S):
            self._print_line()
        if self._tally is not None:
            self._print_line()

    def _print_line(self) -> None:
        self._console.print(self.line(), highlight=False, soft_wrap=True)

    def _show_bar(self) -> None:
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console, auto_refresh=False) as progress:
            bar = progress.add_task("", total=None)
            ended = False
            while not ended:
                ended = self._ended.wait(BAR_EVERY_S)
                tally = self._tally
                done, total = (tally.completed + tally.num_failed, tally.requested) if tally else (0, None)
                progress.update(bar, completed=done, total=total, description=self.line(), refresh=True)
            if self._tally is None:  # refused before it began: nothing to leave behind
                progress.remove_task(bar)


def _minutes(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
