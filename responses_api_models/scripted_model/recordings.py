"""Recorded answers: rollouts of real models, played again call by call."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from nemo_gym.errors import ReferencePolicyError
from nemo_gym.reference_policies import Item, PolicyTurn, RowIndex, calls_since_row, items_of, split_model_calls

_COMPARED_PROMPTS = 1000
"""How many prompts are searched for one like the unknown one: enough for a hint, and quick."""


class Recordings:
    """Answers by request: each recording is a task row with the `response` that a model gave.

    A request belongs to the recordings whose input it begins with. Where there are several, the n-th rollout of that
    input plays the n-th of them, then they begin anew. The k-th model call of a rollout gets the k-th recorded one.
    """

    def __init__(self, recordings: Sequence[dict[str, Any]]) -> None:
        self._index = RowIndex(recordings)
        self._prompts = [_last_text(recording) for recording in recordings[:_COMPARED_PROMPTS]]

    def __call__(self, turn: PolicyTurn) -> list[Item]:
        """The policy: the recorded items of this model call.

        Raises `ReferencePolicyError` where nothing was recorded: an answer is never made up.
        """
        found = self._index.find_all(turn.input, turn.tools)
        if not found:
            raise ReferencePolicyError(f"no recorded answer to {_shown(_text(turn.input))}; {self._nearest(turn)}")
        recording = found[turn.occurrence % len(found)]
        calls, step = split_model_calls(recording["response"]["output"]), calls_since_row(recording, turn.input)
        if step >= len(calls):
            raise ReferencePolicyError(
                f"no recorded answer to model call {step + 1}: the recording of {_shown(_last_text(recording))} "
                f"has {len(calls)}; did the tools answer otherwise than when it was made?"
            )
        return calls[step]

    def _nearest(self, turn: PolicyTurn) -> str:
        matches = difflib.get_close_matches(
            _text(turn.input)[:500], [prompt[:500] for prompt in self._prompts], n=1, cutoff=0.0
        )
        return f"the nearest recorded prompt is {_shown(matches[0])}" if matches else "nothing is recorded"


def _last_text(recording: dict[str, Any]) -> str:
    return _text(items_of(recording["responses_create_params"]["input"]))


def _text(items: Sequence[Item]) -> str:
    """What the user said last."""
    contents = [item["content"] for item in items if item.get("role") == "user"]
    last = contents[-1] if contents else ""
    return last if isinstance(last, str) else " ".join(str(part.get("text", "")) for part in last)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:117]}...")
