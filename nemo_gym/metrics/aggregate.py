"""The metrics of an agent's finished rollouts: what `POST /aggregate_metrics` answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nemo_gym.metrics.fields import is_score, numeric_fields
from nemo_gym.metrics.pass_at_k import RunningPassAtK
from nemo_gym.metrics.running_spread import RunningSpread
from nemo_gym.metrics.spread import spread_of_fields
from nemo_gym.schemas.episode import AggregateMetrics
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX

ComputeMetrics = Callable[[list[list[dict[str, Any]]]], Mapping[str, Any]]
GetKeyMetrics = Callable[[dict[str, Any]], Mapping[str, Any]]

ANSWER_KEY = "extracted_answer"
"""Field that majority@k votes on by default."""
MEDIAN_SAMPLE = 20_000
"""The median over more rollouts than this is that of a uniform sample of so many."""


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
    running = RunningAggregate(answer_key)
    group_level_metrics = [running.add(rollouts) for rollouts in tasks]
    agent_metrics = running.agent_metrics()
    if compute_metrics is not None:
        agent_metrics.update(compute_metrics(tasks))
    pick = get_key_metrics or default_key_metrics
    return AggregateMetrics(
        group_level_metrics=group_level_metrics,
        agent_metrics=agent_metrics,
        key_metrics=dict(pick(agent_metrics)),
    )


class RunningAggregate:
    """The same statistics of tasks that come one by one, in memory that does not grow with their number."""

    def __init__(self, answer_key: str = ANSWER_KEY) -> None:
        self._answer_key = answer_key
        self._spreads: dict[str, RunningSpread] = {}
        self._not_scores: set[str] = set()
        self._passes = RunningPassAtK()
        self._has_answers = False

    def add(self, rollouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Take the rollouts of one task, in order of rollout index; returns its entry of `group_level_metrics`."""
        numbers = [numeric_fields(rollout) for rollout in rollouts]
        for fields in numbers:
            for path, value in fields.items():
                self._take(path, value)
        scores = [{path: value for path, value in fields.items() if path not in self._not_scores} for fields in numbers]
        self._has_answers = self._has_answers or any(self._answer_key in rollout for rollout in rollouts)
        self._passes.add(scores, [rollout.get(self._answer_key) for rollout in rollouts])
        return {TASK_INDEX: rollouts[0].get(TASK_INDEX), "num_rollouts": len(rollouts), **spread_of_fields(numbers)}

    def agent_metrics(self) -> dict[str, Any]:
        """Over all tasks so far."""
        found: dict[str, Any] = {
            f"{name}/{path}": value
            for path, running in self._spreads.items()
            for name, value in running.spread().items()
        }
        return found | self._passes.metrics(majority=self._has_answers)

    def _take(self, path: str, value: float) -> None:
        if path not in self._spreads:
            self._spreads[path] = RunningSpread(MEDIAN_SAMPLE)
        self._spreads[path].add(value)
        if path not in self._not_scores and not is_score(path, [value]):
            self._not_scores.add(path)
            self._passes.drop(path)


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
