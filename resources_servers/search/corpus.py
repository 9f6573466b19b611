"""The passages of a JSON Lines file, found by their place in it: the file is mapped, never read into memory."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.errors import DataError

Document = dict[str, Any]
"""A passage as it stands in the file, with `contents`: the title in quotes, a line end, the text."""


class Corpus:
    """Passages numbered from 0, in the order of the file. Eight bytes of memory each."""

    def __init__(self, path: Path) -> None:
        """Raises `DataError` where the file cannot be read or its first or last line is no passage."""
        self.path = path
        try:
            with path.open("rb") as file:
                stat = path.stat()
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if stat.st_size else None
        except OSError as error:
            raise DataError(str(path), None, f"the corpus cannot be read: {error.strerror}") from error
        if self._text is None:
            raise DataError(str(path), None, "the corpus holds no passage")
        self.version = (stat.st_size, stat.st_mtime_ns)
        """Other passages have another version: size in bytes and time of the last change."""
        self._starts = array("Q", _line_starts(self._text))
        self.document(0)
        self.document(len(self) - 1)

    def __len__(self) -> int:
        return len(self._starts)

    def document(self, index: int) -> Document:
        """Passage `index`. Raises `DataError` naming its line where that is no passage."""
        assert self._text is not None
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self._text)
        try:
            document = orjson.loads(self._text[start:end])
        except orjson.JSONDecodeError as error:
            raise DataError(str(self.path), index + 1, f"no JSON: {error}") from error
        if not isinstance(document, dict):
            raise DataError(str(self.path), index + 1, "a passage is a JSON object with `id` and `contents`")
        if isinstance(document.get("contents"), str):
            return document
        if isinstance(document.get("text"), str):
            return {**document, "contents": f'"{document.get("title", "")}"\n{document["text"]}'}
        raise DataError(str(self.path), index + 1, "the passage has neither `contents` nor `text`")

    def texts(self) -> Iterator[str]:
        """`contents` of all passages, in order."""
        return (self.document(index)["contents"] for index in range(len(self)))


def _line_starts(text: mmap.mmap) -> Iterator[int]:
    """Where each line begins. Lines are not blank; only the file's end may be."""
    start, size = 0, len(text)
    while start < size:
        yield start
        end = text.find(b"\n", start)
        if end < 0:
            return
        start = end + 1
