"""The bad rows of a preparation: all of them in a file, the first kinds of them in a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

SHOWN_KINDS = 7
SHOWN_LINES = 6


@dataclass
class _Kind:
    """Rows of one file with the same mistake."""

    path: str
    message: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        numbers = ", ".join(str(number) for number in self.lines)
        more = f" and {self.count - len(self.lines)} more" if self.count > len(self.lines) else ""
        return f"{self.path}:{numbers}{more}: {self.message}"


class BadRows:
    """Takes bad rows as they are met. Its file appears with the first; one of an earlier preparation goes away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._not_shown = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, path: Path, line: int, message: str) -> None:
        """Take note of one row: one line of the file."""
        if self._file is None:
            self._file = self.path.open("wb")
        self._file.write(orjson.dumps({"file": str(path), "line": line, "message": message}) + b"\n")
        self.count += 1
        key = (str(path), message)
        if key not in self._kinds and len(self._kinds) >= SHOWN_KINDS:
            self._not_shown += 1
            return
        kind = self._kinds.setdefault(key, _Kind(*key))
        kind.count += 1
        if len(kind.lines) < SHOWN_LINES:
            kind.lines.append(line)

    def shown(self) -> list[str]:
        """A few lines that tell the most: `rows.jsonl:3, 7 and 2 more: what is wrong`."""
        more = [f"and {self._not_shown} rows with other mistakes"] if self._not_shown else []
        return [*(str(kind) for kind in self._kinds.values()), *more]
