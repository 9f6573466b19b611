"""The files of one collection, all beside `X.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.errors import NemoGymError


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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes that file: raises `NemoGymError` where the system does not let it (a full disk, say)."""
    try:
        yield
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error}); mend that, then +resume_from_cache=true"
        raise NemoGymError(message) from error


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file so that, whatever happens, it holds either its old content or all of the new.

    `content` may come in pieces; if asking for one raises, the file stays as it was. Raises `NemoGymError` where it
    cannot be written.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path), unfinished.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
