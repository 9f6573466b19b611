"""Reasoning that stands in the text itself, as `<think>...</think>` before the answer: split off."""

from __future__ import annotations

from typing import Literal

OPENING, CLOSING = "<think>", "</think>"

Kind = Literal["reasoning", "text"]


def split_think_tags(text: str) -> tuple[str | None, str]:
    """(reasoning, answer) of a text that begins with `<think>...</think>`; (None, text) where it does not.

    The opening tag may be missing, as templates put it into the prompt; the closing one, as an answer may be cut short.
    """
    body = text.lstrip()
    opened = body.startswith(OPENING)
    thought, closing, answer = body.removeprefix(OPENING).partition(CLOSING)
    if not (opened or closing):
        return None, text
    return thought.strip() or None, answer.lstrip()


class ThinkTagStream:
    """Splits a text that arrives in pieces as `split_think_tags` splits the whole of it.

    Text without an opening tag is held back until a closing one comes, or the end: until then it may be either.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["start", "undecided", "thinking", "answering"] = "start"
        self._began = False
        """Whether the current part has a character that is no space."""

    def add(self, piece: str) -> list[tuple[Kind, str]]:
        """What has become certain by this piece, in order."""
        self._held += piece
        if self._state == "start":
            body = self._held.lstrip()
            if body.startswith(OPENING):
                self._held, self._state = body.removeprefix(OPENING), "thinking"
            elif not OPENING.startswith(body):
                self._state = "undecided"
        parts: list[tuple[Kind, str]] = []
        if self._state in ("undecided", "thinking") and CLOSING in self._held:
            thought, _, self._held = self._held.partition(CLOSING)
            self._emit(parts, "reasoning", thought.rstrip())
            self._state, self._began = "answering", False
        if self._state == "thinking":
            certain = _certain_part(self._held)
            self._emit(parts, "reasoning", certain)
            self._held = self._held[len(certain) :]
        elif self._state == "answering":
            self._emit(parts, "text", self._held)
            self._held = ""
        return parts

    def end(self) -> list[tuple[Kind, str]]:
        """What was still held back."""
        parts: list[tuple[Kind, str]] = []
        if self._state == "thinking":
            self._emit(parts, "reasoning", self._held.rstrip())
        elif self._held:
            parts.append(("text", self._held))
        self._held = ""
        return parts

    def _emit(self, parts: list[tuple[Kind, str]], kind: Kind, text: str) -> None:
        text = text if self._began else text.lstrip()
        if text:
            self._began = True
            parts.append((kind, text))


def _certain_part(thought: str) -> str:
    """Without what may be the beginning of the closing tag, and without spaces that may be the last."""
    for length in range(len(CLOSING) - 1, 0, -1):
        if thought.endswith(CLOSING[:length]):
            return thought[:-length].rstrip()
    return thought.rstrip()
