"""pass@k, pass@1[avg-of-k] and majority@k: how good a policy is when it may try k times.

All are averages over tasks, in percent: 0-100 for scores in [0, 1]. A task counts for k only if it has at least k
rollouts with that score; so with groups of unequal size a larger k may rest on fewer tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nemo_gym.metrics.running_mean import RunningMean
from nemo_gym.metrics.spread import sample_std

ScoreFunction = Callable[[dict[str, Any]], Mapping[str, float]]
"""Named scores of one rollout; bools count as numbers."""

NO_ANSWER = "no_answer"
"""Score reported beside the others where an answer key is given: 1 for a rollout without an answer."""


def pass_at_k(scores: Sequence[float], k: int) -> float:
    """Expected best score of k rollouts drawn without replacement from the n given, 1 <= k <= n; unbiased.

    For scores of 0 and 1, c of them 1, this is 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv:2107.03374). For
    other scores, the i-th smallest is the best of C(i-1, k-1) of the C(n, k) draws.
    """
    n = len(scores)
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} rollouts is not defined")
    draws = math.comb(n, k)
    best_of = ((value, math.comb(rank, k - 1)) for rank, value in enumerate(sorted(scores)) if rank >= k - 1)
    return math.fsum(value * (count / draws) for value, count in best_of)


def majority_at_k(answers: Sequence[Any], scores: Sequence[float], k: int) -> float:
    """Score of the most frequent answer among the first k rollouts.

    `None` is no vote; with no vote at all the score is 0.0. Of answers with equally many votes the scores are
    averaged, which is what choosing among them at random gives. Rollouts with the same answer but different scores
    count with their mean.
    """
    votes: dict[str, list[float]] = {}
    for answer, score in zip(answers[:k], scores[:k], strict=True):
        if answer is not None:
            votes.setdefault(_answer_key(answer), []).append(score)
    if not votes:
        return 0.0
    most = max(len(given) for given in votes.values())
    winners = [math.fsum(given) / len(given) for given in votes.values() if len(given) == most]
    return math.fsum(winners) / len(winners)


def ks_up_to(n: int) -> list[int]:
    """1, 2, 4, ... and n itself."""
    powers = [1 << exponent for exponent in range(n.bit_length())]
    return powers if n in powers or n < 1 else [*powers, n]


def compute_pass_majority_metrics(
    tasks: list[list[dict[str, Any]]],
    score_fn: ScoreFunction | None = None,
    answer_key: str | None = None,
) -> tuple[dict[str, float], list[list[dict[str, float]]], list[str], int]:
    """pass@k, pass@1[avg-of-k] and, with `answer_key`, majority@k of each named score.

    `tasks` holds for each task its rollouts, in order of rollout index. `score_fn` gives a rollout's scores, by default
    `{"reward": rollout["reward"]}`; a score that is missing, null or not finite does not count. `answer_key` names the
    field that majority@k votes on; empty text is no answer, like null.

    Returns `(metrics, scores, score_names, max_k)`: the scores by task and rollout, and the size of the largest group.
    k runs over 1, 2, 4, ... and `max_k`. From two runs on, `pass@1[avg-of-k]/<name>` comes with
    `/std_dev_across_runs` (sample standard deviation of the k runs' means, run j being every task's j-th rollout) and
    `/std_err_across_runs` (that divided by the square root of k).
    """
    score = score_fn or _reward
    scores = [[_numbers(score(rollout)) for rollout in rollouts] for rollouts in tasks]
    running = RunningPassAtK()
    for rollouts, group in zip(tasks, scores, strict=True):
        running.add(group, None if answer_key is None else [rollout.get(answer_key) for rollout in rollouts])
    return running.metrics(), scores, running.names, running.max_k


def compute_subset_metrics(
    tasks: list[list[dict[str, Any]]],
    subset_key: str,
    score_fn: ScoreFunction | None = None,
    answer_key: str | None = None,
) -> dict[str, float]:
    """The metrics of `compute_pass_majority_metrics` for each value of a task's field, as `<value>/pass@1/reward`.

    A task belongs to the subset that its first rollout names; tasks without the field are left out.
    """
    subsets: dict[str, list[list[dict[str, Any]]]] = {}
    for rollouts in tasks:
        value = rollouts[0].get(subset_key) if rollouts else None
        if value is not None:
            subsets.setdefault(str(value), []).append(rollouts)
    return {
        f"{subset}/{name}": value
        for subset, members in sorted(subsets.items())
        for name, value in compute_pass_majority_metrics(members, score_fn, answer_key)[0].items()
    }


def highest_k_metrics(
    agent_metrics: Mapping[str, Any],
    pattern: str,
    score_names: Sequence[str] | None = None,
    exclude_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The entries of a family of metrics at its highest k, for example of `pass@{k}` or `pass@1[avg-of-{k}]`.

    Only the scores named by `score_names`, if given, and none named by `exclude_names`; the spread across runs
    (`.../std_dev_across_runs`) is left out. Empty where nothing matches.
    """
    before, _, after = pattern.partition("{k}")
    by_k: dict[int, dict[str, Any]] = {}
    for key, value in agent_metrics.items():
        if not key.startswith(before):
            continue
        digits, separator, name = key.removeprefix(before).partition(f"{after}/")
        if not separator or not digits.isdecimal() or name.endswith("_across_runs"):
            continue
        if (score_names is None or name in score_names) and name not in (exclude_names or ()):
            by_k.setdefault(int(digits), {})[key] = value
    return by_k[max(by_k)] if by_k else {}


class RunningPassAtK:
    """The metrics of `compute_pass_majority_metrics`, of tasks that come one by one and are not kept.

    Memory grows with the number of scores and the size of the largest group, not with the number of tasks.
    """

    def __init__(self) -> None:
        self.max_k = 0
        """Size of the largest group so far."""
        self._figures: dict[str, dict[int, _Figures]] = {}
        """By score name and k, names in order of first appearance."""
        self._no_answer: dict[int, RunningMean] = {}

    @property
    def names(self) -> list[str]:
        """Of the scores, in order of first appearance."""
        return list(self._figures)

    def add(self, scores: Sequence[Mapping[str, float]], answers: Sequence[Any] | None) -> None:
        """Take one task: each rollout's scores and, for majority@k, answers, both in order of rollout index."""
        self._grow(len(scores))
        votes = None if answers is None else [None if answer == "" else answer for answer in answers]
        for name in dict.fromkeys(name for rollout in scores for name in rollout):
            by_k = self._figures.setdefault(name, {})
            places = [place for place, rollout in enumerate(scores) if name in rollout]
            values = [scores[place][name] for place in places]
            chosen = None if votes is None else [votes[place] for place in places]
            for k in self._ks(len(values)):
                by_k.setdefault(k, _Figures(k)).add(values, chosen, k)
        if votes is not None:
            for k in self._ks(len(votes)):
                missing = sum(vote is None for vote in votes[:k]) / k
                self._no_answer.setdefault(k, RunningMean()).add(missing)

    def drop(self, name: str) -> None:
        """Forget a score and whatever was taken of it."""
        self._figures.pop(name, None)

    def metrics(self, *, majority: bool = True) -> dict[str, float]:
        """Of the tasks so far. Without `majority` answers are left aside."""
        found: dict[str, float] = {}
        for k in ks_up_to(self.max_k):
            of_k = {name: by_k[k] for name, by_k in self._figures.items() if k in by_k}
            for name, figures in of_k.items():
                found[f"pass@{k}/{name}"] = 100.0 * figures.best.mean()
                found.update(figures.averages(f"pass@1[avg-of-{k}]/{name}"))
            if majority:
                voted = {name: figures.majority for name, figures in of_k.items() if figures.majority.count}
                found.update({f"majority@{k}/{name}": 100.0 * score.mean() for name, score in voted.items()})
                if k in self._no_answer:
                    found[f"pass@1[avg-of-{k}]/{NO_ANSWER}"] = 100.0 * self._no_answer[k].mean()
        return found

    def _grow(self, size: int) -> None:
        """A larger group makes its size the largest k, in place of the one before, unless that is a power of two."""
        before = self.max_k
        if size <= before:
            return
        self.max_k = size
        if before not in ks_up_to(size):
            self._no_answer.pop(before, None)
            for by_k in self._figures.values():
                by_k.pop(before, None)

    def _ks(self, size: int) -> list[int]:
        """Every k for which a group of that size counts."""
        return [k for k in ks_up_to(self.max_k) if k <= size]


class _Figures:
    """One score at one k."""

    def __init__(self, k: int) -> None:
        self.best = RunningMean()
        self.majority = RunningMean()
        self._average = RunningMean()
        self._runs = [RunningMean() for _ in range(k)]

    def add(self, values: Sequence[float], votes: Sequence[Any] | None, k: int) -> None:
        self.best.add(pass_at_k(values, k))
        self._average.add(math.fsum(values[:k]) / k)
        for run, value in zip(self._runs, values[:k], strict=True):
            run.add(value)
        if votes is not None:
            self.majority.add(majority_at_k(votes, values, k))

    def averages(self, key: str) -> dict[str, float]:
        """The mean over all, and how much the k runs differ; run j is every task's j-th rollout."""
        found = {key: 100.0 * self._average.mean()}
        if len(self._runs) > 1:
            std = sample_std([100.0 * run.mean() for run in self._runs])
            found[f"{key}/std_dev_across_runs"] = std
            found[f"{key}/std_err_across_runs"] = std / math.sqrt(len(self._runs))
        return found


def _reward(rollout: dict[str, Any]) -> Mapping[str, float]:
    return {"reward": rollout["reward"]} if "reward" in rollout else {}


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, bool | int | float) and math.isfinite(value)
    }


def _answer_key(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, sort_keys=True, default=str)
