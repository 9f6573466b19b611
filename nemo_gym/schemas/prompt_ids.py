"""The short form of prompts: what each model call's prompt kept of the call before, and what was added.

    prompt(k) = (prompt(k - 1) + generation(k - 1))[:kept] + added

Where a conversation only grows, `kept` is all there was, and a rollout of any length costs as much as it says. Where it
was rewritten, `kept` tells from which id on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nemo_gym.errors import TrajectoryError


def with_whole_prompts(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items of a conversation in order, each prompt as a whole: what trainers read.

    Items are plain JSON and are not changed themselves. Raises `TrajectoryError` as `whole_prompt` does.
    """
    expanded = []
    before: list[int] = []
    for index, item in enumerate(items):
        whole = dict(item)
        if item.get("generation_token_ids") is not None:
            whole["prompt_token_ids"] = prompt = whole_prompt(item, before, f"items[{index}]")
            whole.pop("prompt_token_ids_kept", None)
            whole.pop("prompt_token_ids_added", None)
            before = prompt + item["generation_token_ids"]
        expanded.append(whole)
    return expanded


def whole_prompt(item: Mapping[str, Any], before: Sequence[int], where: str) -> list[int]:
    """The prompt of an item with token fields. `before`: prompt and generation of the item with tokens before it.

    Raises `TrajectoryError`, naming the place `where`, for an item that keeps more than there was.
    """
    prompt: list[int] | None = item.get("prompt_token_ids")
    if prompt is not None:
        return prompt
    kept: int = item["prompt_token_ids_kept"]
    if kept > len(before):
        raise TrajectoryError(
            f"{where}: `prompt_token_ids_kept` is {kept}, and the model call before it has {len(before)} ids: an item "
            "with tokens is missing before this one"
        )
    added: list[int] = item["prompt_token_ids_added"]
    return [*before[:kept], *added]


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """With how many equal ids both begin."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(index for index in range(shorter) if one[index] != other[index])
