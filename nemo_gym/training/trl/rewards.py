"""Reward functions for TRL: the reward that a rollout brought, and `/verify` for completions of the trainer's own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from nemo_gym.errors import RolloutError
from nemo_gym.schemas.rollout import FAILURE, FAILURE_CLASS
from nemo_gym.training.rollouts import RunningGym, with_agent
from nemo_gym.training.trl.prompts import Message, Prompt, task_row_of

logger = logging.getLogger(__name__)

Completion = str | list[Message]
RewardFunction = Callable[..., list[float | None]]


def gym_reward(
    prompts: Sequence[Prompt], rollout_reward: Sequence[float | None] | None = None, **_: Any
) -> list[float | None]:
    """The reward that each rollout brought; None, which TRL keeps out of baselines, where it failed."""
    return [None] * len(prompts) if rollout_reward is None else [*rollout_reward]


def verify_reward_func(gym: RunningGym, *, agent: str | None = None, max_lost_batches: int = 3) -> RewardFunction:
    """A reward function for completions that the trainer generated: what the row's resources server says of them.

    The prompt carries the task row (`dataset_of`); `agent` is for rows that name none, and its resources server scores.
    A prompt without a row, and a completion that cannot be scored, have reward None. Completions that are rollouts of
    an agent keep the reward that they brought.

    The function raises `RolloutError` after `max_lost_batches` calls in a row in which it could score nothing of what
    it was to score.
    """
    lost_batches = 0

    def gym_reward(
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        rollout_reward: Sequence[float | None] | None = None,
        fallback: Sequence[str | None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        nonlocal lost_batches
        rewards: list[float | None] = [None] * len(prompts)
        own = []
        for index, prompt in enumerate(prompts):
            if fallback is not None and rollout_reward is not None and fallback[index] is not None:
                rewards[index] = rollout_reward[index]
            elif (row := task_row_of(prompt)) is not None:
                own.append((index, with_agent(row, gym.agent_for(row if row.get("agent_ref") else agent))))
        if own:
            answers = gym.verify_all([row for _, row in own], [response_of(completions[index]) for index, _ in own])
            for (index, _), answer in zip(own, answers, strict=True):
                rewards[index] = None if FAILURE_CLASS in answer else float(answer["reward"])
            lost_batches = 0 if _log_failures(answers) < len(answers) else lost_batches + 1
            if lost_batches >= max_lost_batches:
                raise _nothing_scored(lost_batches, answers[0])
        return rewards

    return gym_reward


def response_of(completion: Completion) -> dict[str, Any]:
    """A completion as a model server would have answered it: the Responses API."""
    messages = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
    output = [item for message in messages if message.get("role") == "assistant" for item in _items_of(message)]
    return {
        "id": "resp_of_trainer",
        "object": "response",
        "created_at": time.time(),
        "model": "policy",
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


def _items_of(message: Message) -> list[dict[str, Any]]:
    thought = message.get("reasoning_content") or message.get("reasoning")
    summary = [{"type": "summary_text", "text": thought}]
    reasoning = [{"type": "reasoning", "id": "rs_of_trainer", "summary": summary}] if thought else []
    part: dict[str, Any] = {"type": "output_text", "text": message.get("content") or "", "annotations": []}
    said = {"type": "message", "id": "msg_of_trainer", "role": "assistant", "status": "completed", "content": [part]}
    return [*reasoning, said]


def _log_failures(answers: Sequence[dict[str, Any]]) -> int:
    """How many there are."""
    failures = [answer for answer in answers if FAILURE_CLASS in answer]
    if failures:
        first = failures[0][FAILURE]["message"]
        logger.warning("%d of %d completions could not be scored; the first: %s", len(failures), len(answers), first)
    return len(failures)


def _nothing_scored(batches: int, answer: dict[str, Any]) -> RolloutError:
    message = f"no completion could be scored in {batches} batches in a row (`max_lost_batches`); the first: "
    message += str(answer[FAILURE]["message"])
    return RolloutError(message, status=502, failure_class=str(answer[FAILURE_CLASS]), row={}, result=answer)
