"""Stored rollouts made of chosen ids, for tests: what a collector writes, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.rows import message


@dataclass(frozen=True)
class Said:
    """One model call: ids before it, ids sampled, their log-probabilities, the environment's reward of the turn."""

    prompt: list[int]
    generated: list[int]
    log_probs: list[float]
    reward: float | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    """More fields of the item, such as its `id`."""


def turn_of(said: Said, **fields: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Items of one turn (the policy's, then the environment's) and the agent's record of it."""
    tokens = {
        "prompt_token_ids": said.prompt,
        "generation_token_ids": said.generated,
        "generation_log_probs": said.log_probs,
    }
    items = [{**message("a"), **tokens, **dict(said.fields)}, {"role": "user", "content": "b"}]
    return items, {"output_items": 2, "reward": said.reward, **fields}


def silent_turn(reward: float | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A turn in which the model gave no item at all."""
    return [{"role": "user", "content": "b"}], {"output_items": 1, "reward": reward}


def rollout_of(*turns: tuple[list[dict[str, Any]], dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A stored rollout of these turns. Its reward is the sum of theirs, unless given."""
    return {
        "_ng_task_index": 3,
        "_ng_rollout_index": 1,
        "reward": sum(record["reward"] or 0.0 for _, record in turns),
        "stop_reason": "terminated",
        "response": {"output": [item for items, _ in turns for item in items]},
        "turns": [record for _, record in turns],
        **fields,
    }


def failed(rollout: dict[str, Any]) -> dict[str, Any]:
    """As it is stored where it failed after these turns."""
    rest = {key: value for key, value in rollout.items() if key != "reward"}
    return {**rest, "stop_reason": "failed", "_ng_failure_class": "model_timeout"}
