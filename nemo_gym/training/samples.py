"""Samples: what a trainer learns from, built from stored trajectories in several shapes without rolling out again.

| shape | one sample for each | before the trained tokens stands |
|---|---|---|
| `whole` | segment | the first prompt; environment tokens between the turns are masked |
| `step_wise` | turn | everything the policy saw, as prompt |
| `window:k` | turn | the segment's first prompt, and the last k turns with what the environment said before each |
| `single_turn` | turn | as `window:1` |

Every sampled token is trained in exactly one sample of a shape, unless a maximum length drops its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nemo_gym.errors import TrajectoryError
from nemo_gym.training.trajectory import Floats, Ids, ModelCall, Segment, Trajectory

Flags: TypeAlias = NDArray[np.bool_]

WHOLE = "whole"
STEP_WISE = "step_wise"
SINGLE_TURN = "single_turn"
WINDOW = "window:"


@dataclass(frozen=True, eq=False)
class Sample:
    """One sequence to learn from. L tokens, K trained turns, both 0 or more.

    The rewards of a rollout's samples sum to the rollout's reward, in every shape; within a sample,
    `token_rewards.sum() + dropped_reward` is `reward`.
    """

    shape: str
    trajectory_id: str
    group_id: str
    step: int
    """Number of this sample among those of its trajectory, from 0."""
    is_last_step: bool
    segment: int
    """Index of the segment it is from."""

    ids: Ids
    """[L]: prompt, then what was sampled, with environment tokens between."""
    prompt_length: int
    """Number of ids before the first sampled one that is a response; L where there is none."""
    response_mask: Flags
    """[L]: sampled by the policy, as this sample's response."""
    loss_mask: Flags
    """[L]: to be trained; subset of `response_mask`."""
    turn_id: Ids
    """[L]: index in `Trajectory.turns` of the turn that a response token is from; -1 elsewhere."""
    turn_end: Flags
    """[L]: the last trained position of each turn; K are set."""
    log_probs: Floats
    """[L]: recorded log-probability of each response token; 0.0 elsewhere."""
    token_rewards: Floats
    """[L]: each trained turn's reward at its turn end; 0.0 elsewhere."""

    turns: tuple[int, ...]
    """[K]: indices in `Trajectory.turns` of the trained turns, in order."""
    turn_rewards: Floats
    """[K]: reward of each trained turn, as at its turn end."""
    turn_returns: Floats
    """[K]: undiscounted sum of the rewards from each trained turn to the rollout's end."""
    policy_versions: tuple[int | str | None, ...]
    """[K]: weights that sampled each trained turn; None where unknown."""
    finish_reasons: tuple[str, ...]
    """[K]: `stop`, `tool_calls` or `length`."""

    reward: float | None
    """What this sample's turns earned, dropped ones included; None for a failed rollout."""
    return_to_go: float | None
    """`reward` of this sample and of all later ones of the rollout; None for a failed rollout."""
    episode_reward: float | None
    """The whole rollout's reward, for baselines; None for a failed rollout, which takes no part in them."""
    reward_components: Mapping[str, float]
    """Parts of `episode_reward` by name."""
    dropped_turns: tuple[int, ...]
    """Turns of this sample without trained tokens: beyond the maximum length, or nothing was sampled in them."""
    dropped_reward: float
    """What they earned."""
    stop_reason: str
    failure_class: str | None
    truncated: bool
    """A limit cut this sample's last turn off from what follows: of the episode, or the maximum length."""
    recorded_context: bool
    """Whether each trained token stands after exactly the ids it was sampled after. Where not (`window:k`),
    `log_probs` are still those it was sampled at, and the trainer's own must be computed anew."""

    @property
    def is_placeholder(self) -> bool:
        """Nothing is trained: a failed rollout, or no turn that fits."""
        return not self.loss_mask.any()


def samples_of(
    trajectory: Trajectory, shape: str = WHOLE, *, max_length: int | None = None, merge_prefixes: bool = False
) -> list[Sample]:
    """The samples of one trajectory, at least one.

    `max_length` (ids) drops whole turns: in `whole` the last ones, else the sample's only one. `merge_prefixes` makes
    one `step_wise` sample of steps whose prompts extend each other. A failed rollout is one sample without loss, whose
    ids are its first prompt where that is known.
    Raises `TrajectoryError` for an unknown shape, `MissingTokensError` for a rollout without ids that did not fail.
    """
    window = _window_of(shape)
    if merge_prefixes and shape != STEP_WISE:
        raise TrajectoryError(f"`merge_prefixes` is for shape `{STEP_WISE}`; the shape is `{shape}`")
    if trajectory.failed:
        return [_without_tokens(trajectory, shape, max_length)]
    trajectory.require_tokens()
    steps = _steps(trajectory)
    if not steps:
        return [_without_tokens(trajectory, shape, max_length)]
    if shape == WHOLE or merge_prefixes:
        by_segment = groupby(steps, key=lambda step: step.segment.index)
        drafts = [_of_segment(list(same)) for _, same in by_segment]
    else:
        drafts = [_of_step(step, window) for step in steps]
    last = len(drafts) - 1
    return [
        _sample(trajectory, shape, draft.fitting(max_length), number=number, is_last=number == last)
        for number, draft in enumerate(drafts)
    ]


def samples_of_all(
    trajectories: Iterable[Trajectory],
    shape: str = WHOLE,
    *,
    max_length: int | None = None,
    merge_prefixes: bool = False,
) -> list[Sample]:
    """The samples of several trajectories, those of one beside each other, in order."""
    return [
        sample
        for trajectory in trajectories
        for sample in samples_of(trajectory, shape, max_length=max_length, merge_prefixes=merge_prefixes)
    ]


@dataclass(frozen=True)
class _Step:
    """A model call that sampled something, and what it earned."""

    call: ModelCall
    segment: Segment
    earned: float
    """Rewards of the turns that this call is the answer of."""
    silent_turns: tuple[int, ...]
    """Turns after it (before it, at the start) in which nothing was sampled."""
    silent_reward: float
    return_to_go: float

    @property
    def length(self) -> int:
        return len(self.call.prompt_ids) + len(self.call.generated_ids)


@dataclass(frozen=True)
class _Draft:
    """Ids of a sample, and where in them its steps' generations begin."""

    ids: Ids
    starts: tuple[int, ...]
    steps: tuple[_Step, ...]
    """At least one."""
    recorded_context: bool
    num_kept: int
    """How many steps, from the first, have their tokens in `ids`."""

    def fitting(self, max_length: int | None) -> _Draft:
        """Without the steps that end beyond this length."""
        ends = [start + len(step.call.log_probs) for start, step in zip(self.starts, self.steps, strict=True)]
        kept = len(ends) if max_length is None else sum(end <= max_length for end in ends)
        ids = self.ids[: ends[kept - 1] if kept else 0]
        return _Draft(ids, self.starts, self.steps, self.recorded_context, kept)


def _window_of(shape: str) -> int | None:
    """Turns of history that a shape limits prompts to, the trained one included; None: no limit."""
    if shape in (WHOLE, STEP_WISE):
        return None
    if shape == SINGLE_TURN:
        return 1
    number = shape.removeprefix(WINDOW)
    if number == shape or not number.isdecimal() or int(number) < 1:
        raise TrajectoryError(
            f"shape is `{shape}`; shapes are `{WHOLE}`, `{STEP_WISE}`, `{SINGLE_TURN}` and `{WINDOW}k` with k from 1"
        )
    return int(number)


def _steps(trajectory: Trajectory) -> list[_Step]:
    """Calls that sampled something. A turn without tokens counts to the step before it, at the start to the first."""
    sampled = [(call, segment) for segment in trajectory.segments for call in segment.calls if len(call.generated_ids)]
    if not sampled:
        return []
    earned, silent = np.zeros(len(sampled)), np.zeros(len(sampled))
    silent_turns: list[list[int]] = [[] for _ in sampled]
    calls, position_of = trajectory.calls, {id(call): place for place, (call, _) in enumerate(sampled)}
    here = 0
    for turn, reward in zip(trajectory.turns, trajectory.turn_rewards(), strict=True):
        place = None if turn.call is None else position_of.get(id(calls[turn.call]))
        if place is not None:
            here = place
            earned[here] += reward
        else:
            silent_turns[here].append(turn.index)
            silent[here] += reward
    returns = np.cumsum((earned + silent)[::-1])[::-1]
    return [
        _Step(call, segment, float(earned[i]), tuple(silent_turns[i]), float(silent[i]), float(returns[i]))
        for i, (call, segment) in enumerate(sampled)
    ]


def _of_segment(steps: Sequence[_Step]) -> _Draft:
    starts = tuple(len(step.call.prompt_ids) for step in steps)
    return _Draft(steps[-1].call.ids, starts, tuple(steps), True, len(steps))


def _of_step(step: _Step, window: int | None) -> _Draft:
    calls = step.segment.calls
    place = next(index for index, call in enumerate(calls) if call is step.call)
    oldest = 0 if window is None else max(0, place - window + 1)
    prompt = step.call.prompt_ids
    if oldest:
        # The history that is left out runs from the end of the first prompt to the end of the last answer left out.
        resume = len(calls[oldest - 1].prompt_ids) + len(calls[oldest - 1].generated_ids)
        prompt = np.concatenate([prompt[: len(calls[0].prompt_ids)], prompt[resume:]])
    ids = np.concatenate([prompt, step.call.generated_ids])
    return _Draft(ids, (len(prompt),), (step,), not oldest, 1)


def _sample(trajectory: Trajectory, shape: str, draft: _Draft, *, number: int, is_last: bool) -> Sample:
    length, kept, cut = len(draft.ids), draft.steps[: draft.num_kept], draft.steps[draft.num_kept :]
    mask, ends = np.zeros(length, dtype=np.bool_), np.zeros(length, dtype=np.bool_)
    turn_id = np.full(length, -1, dtype=np.int64)
    log_probs, rewards = np.zeros(length), np.zeros(length)
    for start, step in zip(draft.starts, kept, strict=False):
        end = start + len(step.call.generated_ids)
        mask[start:end] = True
        ends[end - 1] = True
        turn_id[start:end] = step.call.turn
        log_probs[start:end] = step.call.log_probs
        rewards[end - 1] = step.earned
    dropped = [turn for step in draft.steps for turn in step.silent_turns] + [step.call.turn for step in cut]
    dropped_reward = sum(step.silent_reward for step in draft.steps) + sum(step.earned for step in cut)
    return Sample(
        shape=shape,
        trajectory_id=trajectory.trajectory_id,
        group_id=trajectory.group_id,
        step=number,
        is_last_step=is_last,
        segment=draft.steps[0].segment.index,
        ids=draft.ids,
        prompt_length=draft.starts[0] if kept else length,
        response_mask=mask,
        loss_mask=mask.copy(),
        turn_id=turn_id,
        turn_end=ends,
        log_probs=log_probs,
        token_rewards=rewards,
        turns=tuple(step.call.turn for step in kept),
        turn_rewards=np.array([step.earned for step in kept], dtype=np.float64),
        turn_returns=np.array([step.return_to_go for step in kept], dtype=np.float64),
        policy_versions=tuple(step.call.policy_version for step in kept),
        finish_reasons=tuple(step.call.finish_reason for step in kept),
        reward=float(rewards.sum() + dropped_reward),
        return_to_go=draft.steps[0].return_to_go,
        episode_reward=trajectory.reward,
        reward_components=trajectory.reward_components,
        dropped_turns=tuple(sorted(dropped)),
        dropped_reward=float(dropped_reward),
        stop_reason=trajectory.stop_reason,
        failure_class=None,
        truncated=bool(cut) or (is_last and trajectory.truncated),
        recorded_context=draft.recorded_context,
    )


def _without_tokens(trajectory: Trajectory, shape: str, max_length: int | None) -> Sample:
    """The one sample of a rollout that failed or sampled nothing."""
    calls = trajectory.calls
    ids = calls[0].prompt_ids if calls else np.zeros(0, dtype=np.int64)
    ids = ids if max_length is None or len(ids) <= max_length else ids[:0]
    nowhere = np.zeros(len(ids), dtype=np.bool_)
    return Sample(
        shape=shape,
        trajectory_id=trajectory.trajectory_id,
        group_id=trajectory.group_id,
        step=0,
        is_last_step=True,
        segment=0,
        ids=ids,
        prompt_length=len(ids),
        response_mask=nowhere,
        loss_mask=nowhere.copy(),
        turn_id=np.full(len(ids), -1, dtype=np.int64),
        turn_end=nowhere.copy(),
        log_probs=np.zeros(len(ids)),
        token_rewards=np.zeros(len(ids)),
        turns=(),
        turn_rewards=np.zeros(0),
        turn_returns=np.zeros(0),
        policy_versions=(),
        finish_reasons=(),
        reward=trajectory.reward,
        return_to_go=trajectory.reward,
        episode_reward=trajectory.reward,
        reward_components=trajectory.reward_components,
        dropped_turns=tuple(turn.index for turn in trajectory.turns),
        dropped_reward=trajectory.reward or 0.0,
        stop_reason=trajectory.stop_reason,
        failure_class=trajectory.failure_class,
        truncated=trajectory.truncated,
        recorded_context=True,
    )
