"""pass@k, pass@1[avg-of-k] and majority@k: how good a policy is when it may try k times.

All are averages over tasks, in percent: 0-100 for scores in [0, 1]. A task counts for k only if it has at least k
rollouts with that score; so with groups of unequal size a larger k may rest on fewer tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    names = list(dict.fromkeys(name for group in scores for rollout in group for name in rollout))
    max_k = max((len(rollouts) for rollouts in tasks), default=0)
    metrics: dict[str, float] = {}
    for k in ks_up_to(max_k):
        for name in names:
            columns = [[rollout[name] for rollout in group if name in rollout] for group in scores]
            _put_mean(metrics, f"pass@{k}/{name}", [pass_at_k(column, k) for column in columns if len(column) >= k])
            _put_runs(metrics, f"pass@1[avg-of-{k}]/{name}", [column[:k] for column in columns if len(column) >= k])
        if answer_key is not None:
            _put_majority(metrics, tasks, scores, names, answer_key, k)
    return metrics, scores, names, max_k


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


def _reward(rollout: dict[str, Any]) -> Mapping[str, float]:
    return {"reward": rollout["reward"]} if "reward" in rollout else {}


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, bool | int | float) and math.isfinite(value)
    }


def _put_mean(metrics: dict[str, float], key: str, values: list[float]) -> None:
    if values:
        metrics[key] = 100.0 * math.fsum(values) / len(values)


def _put_runs(metrics: dict[str, float], key: str, groups: list[list[float]]) -> None:
    """The mean of groups of equal size k, and how much their k columns ("runs") differ."""
    _put_mean(metrics, key, [math.fsum(group) / len(group) for group in groups])
    if groups and len(groups[0]) > 1:
        runs = [100.0 * math.fsum(run) / len(run) for run in zip(*groups, strict=True)]
        metrics[f"{key}/std_dev_across_runs"] = sample_std(runs)
        metrics[f"{key}/std_err_across_runs"] = sample_std(runs) / math.sqrt(len(runs))


def _put_majority(
    metrics: dict[str, float],
    tasks: list[list[dict[str, Any]]],
    scores: list[list[dict[str, float]]],
    names: list[str],
    answer_key: str,
    k: int,
) -> None:
    answers = [[_answer(rollout, answer_key) for rollout in rollouts] for rollouts in tasks]
    for name in names:
        majorities: list[float] = []
        for given, group in zip(answers, scores, strict=True):
            scored = [(answer, rollout[name]) for answer, rollout in zip(given, group, strict=True) if name in rollout]
            if len(scored) >= k:
                majorities.append(majority_at_k([answer for answer, _ in scored], [value for _, value in scored], k))
        _put_mean(metrics, f"majority@{k}/{name}", majorities)
    missing = [math.fsum(answer is None for answer in given[:k]) / k for given in answers if len(given) >= k]
    _put_mean(metrics, f"pass@1[avg-of-{k}]/{NO_ANSWER}", missing)


def _answer(rollout: dict[str, Any], answer_key: str) -> Any:
    answer = rollout.get(answer_key)
    return None if answer == "" else answer


def _answer_key(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, sort_keys=True, default=str)
