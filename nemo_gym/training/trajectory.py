"""A token trajectory: what the policy sampled in a stored rollout, call by call, in the context it was sampled in.

Made by `trajectory_of` from one result of a collection (or of `run_examples`); read by `samples.samples_of`. Ids and
log-probabilities are those that the model server recorded. Nothing here tokenises, so no id is ever invented.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nemo_gym.errors import MissingTokensError, TrajectoryError
from nemo_gym.schemas.rollout import FAILURE_CLASS, ROLLOUT_ID, ROLLOUT_INDEX, TASK_INDEX, StopReason

Ids: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Rollout: TypeAlias = Mapping[str, Any]
Item: TypeAlias = Mapping[str, Any]

_OWN_END = frozenset({StopReason.COMPLETED, StopReason.NO_MESSAGE, StopReason.TERMINATED})
"""Stop reasons that are the episode's own end; all others but `failed` are limits."""
_OTHERS_ROLES = frozenset({"user", "system", "developer", "tool"})
_REWARD_TOLERANCE = 1e-9


class TokenSource(StrEnum):
    """Where a trajectory's ids come from."""

    RECORDED = "recorded"
    """Each model call carries them, or generated nothing."""
    PARTIAL = "partial"
    """Some model calls lack them."""
    NONE = "none"
    """No model call carries them."""


@dataclass(frozen=True, eq=False)
class ModelCall:
    """One sampling of the policy."""

    turn: int
    """Index in `Trajectory.turns`."""
    items: tuple[int, int]
    """The items of `response.output` that the generation became: first, and one after the last."""
    item_id: str | None
    """`id` of the last of them: a replayed answer keeps it, a new sampling has a new one."""
    prompt_ids: Ids
    """Shape [P]: the whole prompt."""
    generated_ids: Ids
    """Shape [G], G >= 0: what was sampled, a sampled end-of-sequence included."""
    log_probs: Floats
    """Shape [G]: natural-log probability of each sampled id, finite, bit for bit as recorded."""
    policy_version: int | str | None
    """The weights that sampled it; None where the model server does not tell."""
    finish_reason: str
    """`length` where a limit cut the generation off, `tool_calls` where it calls tools, else `stop`."""

    @property
    def ids(self) -> Ids:
        """Shape [P + G]: prompt and generation."""
        return np.concatenate([self.prompt_ids, self.generated_ids])

    def continues(self, previous: ModelCall) -> bool:
        """Whether this prompt begins with the previous prompt and all that was generated on it."""
        length, seen = len(previous.prompt_ids), len(previous.prompt_ids) + len(previous.generated_ids)
        return (
            len(self.prompt_ids) >= seen
            and np.array_equal(self.prompt_ids[:length], previous.prompt_ids)
            and np.array_equal(self.prompt_ids[length:seen], previous.generated_ids)
        )

    def replays(self, previous: ModelCall) -> bool:
        """Whether this is the previous call's recorded answer once more: a retried call, sampled only once."""
        return (
            self.item_id == previous.item_id
            and np.array_equal(self.prompt_ids, previous.prompt_ids)
            and np.array_equal(self.generated_ids, previous.generated_ids)
            and self.log_probs.tobytes() == previous.log_probs.tobytes()
        )


@dataclass(frozen=True)
class TrajectoryTurn:
    """One model call as the agent recorded it, and what the environment made of it."""

    index: int
    call: int | None
    """Index in `Trajectory.calls`; None where no token was recorded. A retried turn shares that of the turn before."""
    reward: float | None
    """The environment's reward of this turn; None where it scores only the whole episode."""
    terminated: bool
    truncated: bool


@dataclass(frozen=True)
class Segment:
    """Model calls each of whose prompts extends the call before. A rollout has one, and one more for each fork."""

    index: int
    calls: tuple[ModelCall, ...]
    """At least one."""
    common_prefix: int | None
    """At a fork: number of leading ids that its first prompt shares with prompt and generation of the call before.
    None in the first segment."""


@dataclass(frozen=True)
class Trajectory:
    """One stored rollout as tokens."""

    trajectory_id: str
    group_id: str
    """Equal for the rollouts of one task."""
    token_source: TokenSource
    turns: tuple[TrajectoryTurn, ...]
    segments: tuple[Segment, ...]
    reward: float | None
    """The verified reward of the whole episode; None exactly where the rollout failed."""
    reward_components: Mapping[str, float]
    """Parts of `reward` by name, where the environment tells them; they sum to it."""
    stop_reason: str
    failure_class: str | None
    terminated: bool
    """The episode came to its own end."""
    truncated: bool
    """A limit ended the episode: what would have followed is unknown, not worth zero."""

    @property
    def failed(self) -> bool:
        return self.failure_class is not None

    @property
    def calls(self) -> tuple[ModelCall, ...]:
        """All model calls in order, each once."""
        return tuple(call for segment in self.segments for call in segment.calls)

    @property
    def num_forks(self) -> int:
        return max(0, len(self.segments) - 1)

    def turn_rewards(self) -> Floats:
        """Shape [number of turns]: each turn's reward, so that they sum to `reward`.

        They are the recorded ones. What `reward` holds beyond their sum, which is all of it where the environment
        scores only the whole episode, is the last turn's that has sampled tokens (else the last turn's).
        Raises `TrajectoryError` for a failed rollout.
        """
        if self.reward is None:
            raise TrajectoryError(f"rollout {self.trajectory_id}: it failed ({self.failure_class}) and has no reward")
        rewards = np.array([turn.reward or 0.0 for turn in self.turns], dtype=np.float64)
        rest = self.reward - math.fsum(rewards)
        if len(rewards) and abs(rest) > _REWARD_TOLERANCE * max(1.0, abs(self.reward)):
            calls = self.calls
            sampled = [turn.index for turn in self.turns if turn.call is not None and len(calls[turn.call].log_probs)]
            rewards[sampled[-1] if sampled else -1] += rest
        return rewards

    def require_tokens(self) -> None:
        """Raises `MissingTokensError` where ids are missing: such a rollout cannot be learned from."""
        if self.token_source is TokenSource.RECORDED:
            return
        raise MissingTokensError(
            f"rollout {self.trajectory_id}: token_source: {self.token_source}. "
            "Have the model server report token ids and log-probabilities: `return_token_id_information: true` "
            "(vllm_model), `tokens.enabled: true` (scripted_model), or `api: chat_completions` before an engine that "
            "reports them (openai_model); then run the rollouts again."
        )


def trajectory_of(rollout: Rollout, *, group_id: str | None = None, trajectory_id: str | None = None) -> Trajectory:
    """The trajectory of one stored rollout.

    `group_id` is by default the rollout's `_ng_task_index`, `trajectory_id` its task and rollout index (`3/0`), else
    its `_ng_rollout_id`.
    Raises `TrajectoryError` where the rollout is not one, or a call's ids and log-probabilities do not fit together.
    """
    name = trajectory_id or _name_of(rollout)
    group = group_id if group_id is not None else rollout.get(TASK_INDEX)
    if group is None:
        raise TrajectoryError(
            f"rollout {name}: it has no `{TASK_INDEX}`; give `group_id`, equal for one task's rollouts"
        )
    failure = rollout.get(FAILURE_CLASS)
    turns, calls, without_ids = _turns_and_calls(rollout, name)
    stop_reason = str(rollout.get("stop_reason") or (StopReason.FAILED if failure else StopReason.COMPLETED))
    terminated = any(turn.terminated for turn in turns) or stop_reason in _OWN_END
    return Trajectory(
        trajectory_id=name,
        group_id=str(group),
        token_source=_token_source(len(calls), without_ids),
        turns=tuple(turns),
        segments=_segments(calls),
        reward=None if failure else _reward(rollout, name),
        reward_components=dict(rollout.get("reward_components") or {}),
        stop_reason=stop_reason,
        failure_class=str(failure) if failure else None,
        terminated=terminated and not failure,
        truncated=not terminated and not failure,
    )


def trajectories_of(rollouts: Iterable[Rollout]) -> list[Trajectory]:
    """The trajectory of each stored rollout, in their order."""
    return [trajectory_of(rollout) for rollout in rollouts]


def _name_of(rollout: Rollout) -> str:
    task, number = rollout.get(TASK_INDEX), rollout.get(ROLLOUT_INDEX)
    if task is not None and number is not None:
        return f"{task}/{number}"
    name = rollout.get(ROLLOUT_ID)
    if name is None:
        raise TrajectoryError(
            f"a rollout has neither `{TASK_INDEX}` and `{ROLLOUT_INDEX}` nor `{ROLLOUT_ID}`; give `trajectory_id`"
        )
    return str(name)


def _reward(rollout: Rollout, name: str) -> float:
    reward = rollout.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        raise TrajectoryError(
            f"rollout {name}: `reward` is {reward!r:.50}, and no `{FAILURE_CLASS}` says that it failed; "
            "a verified rollout has a finite one"
        )
    return float(reward)


def _token_source(calls: int, without_ids: int) -> TokenSource:
    if not without_ids:
        return TokenSource.RECORDED
    return TokenSource.PARTIAL if calls else TokenSource.NONE


def _turns_and_calls(rollout: Rollout, name: str) -> tuple[list[TrajectoryTurn], list[ModelCall], int]:
    """Turns, model calls without replays, and how many turns said something whose ids were not recorded."""
    output: Sequence[Item] = (rollout.get("response") or {}).get("output") or []
    turns: list[TrajectoryTurn] = []
    calls: list[ModelCall] = []
    without_ids = 0
    before = np.empty(0, dtype=np.int64)
    for start, end, recorded in _recorded_turns(rollout, output, name):
        sampled = [index for index in range(start, end) if output[index].get("generation_token_ids") is not None]
        without_ids += not sampled and any(_is_models(item) for item in output[start:end])
        places: list[int | None] = [*sampled] if sampled else [None]
        for index in places:
            is_last = index == places[-1]
            if index is not None:
                call = _model_call(output, start, index, before, turn=len(turns), name=name)
                before = call.ids
                if not (calls and call.replays(calls[-1])):
                    calls.append(call)
            turns.append(
                TrajectoryTurn(
                    index=len(turns),
                    call=None if index is None else len(calls) - 1,
                    reward=recorded.get("reward") if is_last else None,
                    terminated=is_last and recorded.get("terminated") is True,
                    truncated=is_last and recorded.get("truncated") is True,
                )
            )
    return turns, calls, without_ids


def _recorded_turns(rollout: Rollout, output: Sequence[Item], name: str) -> list[tuple[int, int, Mapping[str, Any]]]:
    """Each recorded turn with the items that are its own; an agent that records none has one that is everything."""
    recorded: Sequence[Mapping[str, Any]] = rollout.get("turns") or []
    if not recorded:
        return [(0, len(output), {})] if output else []
    counts = [int(turn.get("output_items") or 0) for turn in recorded]
    if sum(counts) != len(output):
        raise TrajectoryError(
            f"rollout {name}: its `turns` count {sum(counts)} items, `response.output` holds {len(output)}: which "
            "items belong to which turn is unknown. Agents put the number of each turn's items into `output_items`"
        )
    ends = np.cumsum(counts).tolist()
    return [(end - count, end, turn) for end, count, turn in zip(ends, counts, recorded, strict=True)]


def _model_call(output: Sequence[Item], start: int, index: int, before: Ids, *, turn: int, name: str) -> ModelCall:
    """The call whose last item is `output[index]`; its items begin at `start` or later.

    `before`: prompt and generation of the call before it.
    """
    first, last = index, output[index]
    while first > start and _is_models(output[first - 1]) and output[first - 1].get("generation_token_ids") is None:
        first -= 1
    where = f"rollout {name}, response.output[{index}]"
    generated = _ids(last, "generation_token_ids", where)
    log_probs = _array(last, "generation_log_probs", where).astype(np.float64)
    if log_probs.shape != generated.shape:
        raise TrajectoryError(
            f"{where}: {len(generated)} `generation_token_ids` and {len(log_probs)} `generation_log_probs`; "
            "each sampled id has one"
        )
    if not np.isfinite(log_probs).all():
        raise TrajectoryError(f"{where}: `generation_log_probs` must be finite numbers; NaN and null cannot be trained")
    return ModelCall(
        turn=turn,
        items=(first, index + 1),
        item_id=last.get("id"),
        prompt_ids=_prompt_ids(last, before, where),
        generated_ids=generated,
        log_probs=log_probs,
        policy_version=last.get("policy_version"),
        finish_reason=_finish_reason(output[first : index + 1]),
    )


def _prompt_ids(item: Item, before: Ids, where: str) -> Ids:
    """The whole prompt, also where the item tells it by the call before."""
    if item.get("prompt_token_ids_added") is None:
        return _ids(item, "prompt_token_ids", where)
    kept = item.get("prompt_token_ids_kept")
    if not isinstance(kept, int) or not 0 <= kept <= len(before):
        raise TrajectoryError(
            f"{where}: `prompt_token_ids_kept` is {kept!r:.50}, and the model call before has {len(before)} ids: an "
            "item with tokens is missing before this one"
        )
    return np.concatenate([before[:kept], _ids(item, "prompt_token_ids_added", where)])


def _ids(item: Item, key: str, where: str) -> Ids:
    ids = _array(item, key, where)
    if ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0):
        raise TrajectoryError(f"{where}: `{key}` must hold whole numbers from 0")
    return ids.astype(np.int64)


def _array(item: Item, key: str, where: str) -> NDArray[Any]:
    values = item.get(key)
    try:
        array = np.asarray(values)
    except ValueError:  # lists of differing lengths within
        array = np.empty(())
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise TrajectoryError(f"{where}: `{key}` must be a list of numbers, is {values!r:.50}")
    return array


def _is_models(item: Item) -> bool:
    """Whether the policy said it: neither a tool's output nor a message of somebody else."""
    return item.get("role") not in _OTHERS_ROLES and not str(item.get("type", "")).endswith("_output")


def _finish_reason(items: Sequence[Item]) -> str:
    if items[-1].get("status") == "incomplete":
        return "length"
    return "tool_calls" if any(item.get("type") == "function_call" for item in items) else "stop"


def _segments(calls: Sequence[ModelCall]) -> tuple[Segment, ...]:
    runs: list[list[ModelCall]] = []
    shared: list[int | None] = []
    for call in calls:
        if runs and call.continues(runs[-1][-1]):
            runs[-1].append(call)
        else:
            shared.append(_common_prefix(runs[-1][-1].ids, call.prompt_ids) if runs else None)
            runs.append([call])
    return tuple(Segment(i, tuple(run), prefix) for i, (run, prefix) in enumerate(zip(runs, shared, strict=True)))


def _common_prefix(one: Ids, other: Ids) -> int:
    length = min(len(one), len(other))
    differs = np.flatnonzero(one[:length] != other[:length])
    return int(differs[0]) if len(differs) else length
