"""A journal: a JSONL file to which whole lines are appended, and which survives being cut off at any byte."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from nemo_gym.errors import DataError, NemoGymError
from nemo_gym.rollouts.files import write_whole, writing

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 16


class Journal:
    """Appends lines to a file, one `write` each, so that a killed process leaves at most a torn last line.

    Opening takes an exclusive lock, which the kernel frees with the process, and mends a torn last line. What was
    written outlives the process at once; it outlives a power cut from the next `sync` on.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises `DataError` if another process has it open, or it cannot be written."""
        self.path = path
        self._fd = _open_locked(path)
        self._size = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        return self._size

    def append(self, line: bytes) -> None:
        """Append one line, given without its line end.

        Raises `NemoGymError` where it cannot be written (the disk is full, for example); the file is then as it was.
        """
        data = line + b"\n"
        try:
            with writing(self.path):
                while data:
                    data = data[os.write(self._fd, data) :]
        except NemoGymError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line) + 1

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(number from 1, line without its end) of every line."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removesuffix(b"\n")

    def mend(self) -> None:
        """Make the file end with a whole line: the start of a line that was being written when its writer died is
        cut off, with a warning; a whole line that only lacks its end gets one."""
        end = self._end_of_last_whole_line()
        if end == self._size:
            return
        rest = os.pread(self._fd, self._size - end, end)
        if _is_object(rest):
            self.append(b"")
            return
        os.ftruncate(self._fd, end)
        self._size = end
        logger.warning("%s: cut off a torn last line of %d bytes; its rollout runs again", self.path, len(rest))

    def clear(self) -> None:
        """Remove all lines."""
        os.ftruncate(self._fd, 0)
        self._size = 0

    def keep(self, wanted: Collection[int]) -> None:
        """Leave only the lines with these numbers. Cut off at any moment, the file holds the old lines or the new."""
        write_whole(self.path, (line + b"\n" for number, line in self.lines() if number in wanted))
        os.close(self._fd)
        self._fd = _open_locked(self.path)
        self._size = os.fstat(self._fd).st_size

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        with writing(self.path):
            os.fsync(self._fd)

    def close(self) -> None:
        """Sync, close and free the lock. Harmless to repeat."""
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _end_of_last_whole_line(self) -> int:
        """Offset after the last line end, 0 if there is none."""
        position = self._size
        while position > 0:
            start = max(0, position - _BLOCK_BYTES)
            found = os.pread(self._fd, position - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            position = start
        return 0


def _open_locked(path: Path) -> int:
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise DataError(str(path), None, f"cannot be written: {parent} is a file, no folder")
            break
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise DataError(str(path), None, f"cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        message = "another collection is writing to it now; wait until it ends, or give another +output_jsonl_fpath"
        raise DataError(str(path), None, message) from error
    return descriptor


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
