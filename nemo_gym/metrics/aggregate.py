"""The metrics of an agent's finished rollouts: what `POST /aggregate_metrics` answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nemo_gym.metrics.fields import is_score, numeric_fields
from nemo_gym.metrics.pass_at_k import compute_pass_majority_metrics
from nemo_gym.metrics.spread import spread_of_fields
from nemo_gym.schemas.episode import AggregateMetrics
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX

ComputeMetrics = Callable[[list[list[dict[str, Any]]]], Mapping[str, Any]]
GetKeyMetrics = Callable[[dict[str, Any]], Mapping[str, Any]]

ANSWER_KEY = "extracted_answer"
"""Field that majority@k votes on by default."""


def aggregate_metrics(
    verify_responses: Iterable[dict[str, Any]],
    *,
    compute_metrics: ComputeMetrics | None = None,
    get_key_metrics: GetKeyMetrics | None = None,
    answer_key: str = ANSWER_KEY,
) -> AggregateMetrics:
    """Statistics of finished verify answers, over all rollouts and for each task.

    `agent_metrics` holds `mean|max|min|median|std/<field>` over the rollouts with that field (see `numeric_fields`),
    then for each score (see `is_score`) `pass@k`, `pass@1[avg-of-k]` and, if any rollout has the field `answer_key`,
    `majority@k`. What `compute_metrics(tasks)` returns is added to it and wins where keys agree. `key_metrics` is what
    `get_key_metrics(agent_metrics)` returns, by default `mean/reward` and every `pass@k/reward`.
    """
    tasks = group_by_task(verify_responses)
    numbers = [[numeric_fields(rollout) for rollout in rollouts] for rollouts in tasks]
    agent_metrics: dict[str, Any] = dict(spread_of_fields([rollout for group in numbers for rollout in group]))
    agent_metrics.update(_scores_metrics(tasks, answer_key))
    if compute_metrics is not None:
        agent_metrics.update(compute_metrics(tasks))
    pick = get_key_metrics or default_key_metrics
    return AggregateMetrics(
        group_level_metrics=[
            {TASK_INDEX: rollouts[0].get(TASK_INDEX), "num_rollouts": len(rollouts), **spread_of_fields(group)}
            for rollouts, group in zip(tasks, numbers, strict=True)
        ],
        agent_metrics=agent_metrics,
        key_metrics=dict(pick(agent_metrics)),
    )


def default_key_metrics(agent_metrics: dict[str, Any]) -> dict[str, Any]:
    """`mean/reward` and `pass@k/reward` for every k."""
    return {
        key: value
        for key, value in agent_metrics.items()
        if key == "mean/reward" or (key.startswith("pass@") and key.endswith("/reward") and "[" not in key)
    }


def group_by_task(verify_responses: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rollouts of each task, tasks by `_ng_task_index` and rollouts by `_ng_rollout_index`, ties as they came.

    A rollout without a task index is a task of its own, after the others.
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    alone: list[list[dict[str, Any]]] = []
    for rollout in verify_responses:
        task = rollout.get(TASK_INDEX)
        if isinstance(task, int):
            groups.setdefault(task, []).append(rollout)
        else:
            alone.append([rollout])
    return [sorted(groups[task], key=_rollout_index) for task in sorted(groups)] + alone


def _rollout_index(rollout: dict[str, Any]) -> int:
    index = rollout.get(ROLLOUT_INDEX)
    return index if isinstance(index, int) else 0


def _scores_metrics(tasks: list[list[dict[str, Any]]], answer_key: str) -> dict[str, float]:
    columns: dict[str, list[float]] = {}
    for rollouts in tasks:
        for rollout in rollouts:
            for path, value in numeric_fields(rollout).items():
                columns.setdefault(path, []).append(value)
    scores = {path for path, values in columns.items() if is_score(path, values)}
    has_answers = any(answer_key in rollout for rollouts in tasks for rollout in rollouts)

    def score(rollout: dict[str, Any]) -> dict[str, float]:
        return {path: value for path, value in numeric_fields(rollout).items() if path in scores}

    return compute_pass_majority_metrics(tasks, score, answer_key if has_answers else None)[0]
