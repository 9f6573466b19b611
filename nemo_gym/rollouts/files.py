"""The files of one collection, all beside `X.jsonl`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CollectionFiles:
    """Where a collection writes. `results` is what the user names; the others take its stem."""

    results: Path
    """`X.jsonl`: one finished rollout a line, in order of completion."""

    @property
    def inputs(self) -> Path:
        """`X_materialized_inputs.jsonl`: the rows as run, repeats included."""
        return self._beside("_materialized_inputs.jsonl")

    @property
    def failures(self) -> Path:
        """`X_failures.jsonl`: the latest failure of each rollout that has no result."""
        return self._beside("_failures.jsonl")

    @property
    def metrics(self) -> Path:
        """`X_aggregate_metrics.json`: one entry per agent."""
        return self._beside("_aggregate_metrics.json")

    @property
    def run(self) -> Path:
        """`X_run.json`: what was asked for, so that a resumed collection is the same one."""
        return self._beside("_run.json")

    def _beside(self, suffix: str) -> Path:
        return self.results.with_name(self.results.stem + suffix)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, it holds either its old content or all of the new."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
