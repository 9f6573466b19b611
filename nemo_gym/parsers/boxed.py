r"""Answers in boxes: `\boxed{…}`, with braces inside."""

from __future__ import annotations

import re

_MARKS = re.compile(r"\\boxed[ ]?\{|\\?[{}]")


def all_boxed(text: str) -> list[str]:
    r"""Contents of all complete `\boxed{…}`, in order; of boxes in boxes the innermost. Empty if there is none.

    Braces inside must match, `\boxed{\frac{1}{2}}`; `\{` and `\}` are signs like others. A box that is not closed is
    passed over.
    """
    boxes: list[tuple[int, int]] = []
    open_braces: list[int | None] = []  # where the content of a box begins; None: an ordinary brace
    for mark in _MARKS.finditer(text):
        written = mark.group()
        if written == "{":
            open_braces.append(None)
        elif written == "}":
            start = open_braces.pop() if open_braces else None
            if start is not None and not (boxes and boxes[-1][0] > start):
                boxes.append((start, mark.start()))
        elif written.startswith("\\boxed"):
            open_braces.append(mark.end())
    return [text[start:end] for start, end in boxes]


def first_boxed(text: str) -> str | None:
    r"""Content of the first complete `\boxed{…}`; None if there is none."""
    boxes = all_boxed(text)
    return boxes[0] if boxes else None


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{…}`; None if there is none."""
    boxes = all_boxed(text)
    return boxes[-1] if boxes else None
