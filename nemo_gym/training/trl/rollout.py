"""A rollout as TRL takes it: prompt, completion, mask and log-probabilities, and what is to be known of it beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nemo_gym.rollouts.attempt import Result
from nemo_gym.schemas.rollout import FAILURE_CLASS, ROLLOUT_ID, Mode
from nemo_gym.training.samples import Sample, samples_of
from nemo_gym.training.trajectory import Trajectory, trajectory_of
from nemo_gym.training.trl.ladder import MASKED

FAILED_ID = "no rollout"


@dataclass(frozen=True)
class TokenSequence:
    """What is trained as one row of a batch. C completion tokens, at least one."""

    prompt_ids: list[int]
    completion_ids: list[int]
    """[C]: sampled tokens, and what the environment said between them."""
    log_probs: list[float | None]
    """[C]: as they were sampled; None where that is not known, 0.0 where nothing was sampled."""
    mask: list[int]
    """[C]: 1 for a token to be trained."""
    turn_end: list[int]
    """[C]: 1 for the last trained token of each turn."""
    turn_rewards: list[float]
    """Of each turn end."""

    @property
    def num_trained(self) -> int:
        return sum(self.mask)


@dataclass(frozen=True)
class TRLRollout:
    """One rollout. Made from what an agent did, or from what the trainer generated itself."""

    sequences: tuple[TokenSequence, ...]
    """At least one; several where the conversation forked, or where each turn is a sample."""
    reward: float | None
    """None: it failed, and takes no part in any baseline."""
    turn_rewards: list[float]
    """Of all turns, dropped ones too; they sum to `reward`."""
    mode: str
    mode_reason: str
    stop_reason: str
    failure_class: str | None
    trajectory_id: str
    num_turns: int
    num_forks: int
    dropped_turns: list[int]
    """Turns that did not fit `max_completion_length`, or in which nothing was sampled."""
    policy_versions: list[int | str | None]
    """Of each trained turn."""
    step: str | None
    """Step of the ladder that it is from; `masked` where it failed on all or is not to be trained; None for a
    completion that the trainer was to generate itself."""
    truncated: bool = False
    """A limit ended it: what would have followed is unknown, not worth zero."""
    staleness: int = 0
    """Batches that were trained since the weights that sampled it were the newest."""
    result: Result | None = None
    """All that the agent told; None where the trainer generated it itself."""

    @property
    def longest(self) -> TokenSequence:
        """The sequence with the most trained tokens, the last of equals."""
        return max(reversed(self.sequences), key=lambda one: one.num_trained)

    @property
    def is_trained(self) -> bool:
        return self.reward is not None and any(one.num_trained for one in self.sequences)


def rollout_of(
    result: Result,
    *,
    group: str,
    step: str,
    shape: str,
    max_completion_length: int,
    prompt_ids: Callable[[], list[int]],
    eos_id: int,
) -> TRLRollout:
    """An agent's result. `prompt_ids` are asked for where no prompt was recorded; `eos_id` is a missing completion.

    Whole turns are dropped from the end of a sequence that is longer than `max_completion_length`. A result with
    `instance_config.mask_sample` trains nothing and has no reward.
    Raises `MissingTokensError` where a rollout that did not fail has no token ids.
    """
    name = str(result.get(ROLLOUT_ID) or FAILED_ID)
    trajectory = trajectory_of(result, group_id=group, trajectory_id=name)
    whole = samples_of(trajectory, shape)
    samples = [_fitting(trajectory, index, sample, max_completion_length) for index, sample in enumerate(whole)]
    sequences = [
        sequence_of(sample, full.ids[: full.prompt_length].tolist() or prompt_ids(), eos_id)
        for sample, full in zip(samples, whole, strict=True)
    ]
    trained = [one for one in sequences if one.num_trained]
    rollout = TRLRollout(
        sequences=tuple(trained or sequences[:1]),
        reward=trajectory.reward,
        turn_rewards=[] if trajectory.reward is None else trajectory.turn_rewards().tolist(),
        mode=str(result.get("mode") or Mode.MULTI_TURN),
        mode_reason=str(result.get("mode_reason") or "the agent does not tell"),
        stop_reason=trajectory.stop_reason,
        failure_class=result.get(FAILURE_CLASS),
        trajectory_id=name,
        num_turns=len(trajectory.turns),
        num_forks=trajectory.num_forks,
        dropped_turns=sorted(turn for sample in samples for turn in sample.dropped_turns),
        policy_versions=[version for sample in samples for version in sample.policy_versions],
        step=MASKED if trajectory.failed else step,
        truncated=samples[-1].truncated,
        result=result,
    )
    is_masked = (result.get("instance_config") or {}).get("mask_sample") is True
    return masked(rollout, rollout.failure_class, eos_id) if is_masked else rollout


def masked(rollout: TRLRollout, failure_class: str | None, eos_id: int) -> TRLRollout:
    """The same without anything to train and without a reward."""
    nothing = masked_sequence(rollout.sequences[0].prompt_ids, eos_id)
    return dataclasses.replace(
        rollout, sequences=(nothing,), reward=None, turn_rewards=[], failure_class=failure_class, step=MASKED
    )


def _fitting(trajectory: Trajectory, index: int, sample: Sample, max_completion_length: int) -> Sample:
    """The sample without the turns beyond that many completion tokens."""
    longest = sample.prompt_length + max_completion_length
    return sample if len(sample.ids) <= longest else samples_of(trajectory, sample.shape, max_length=longest)[index]


def sequence_of(sample: Sample, prompt_ids: list[int], eos_id: int) -> TokenSequence:
    """A sample of a rollout; without trained tokens one masked `eos_id`, since an empty completion is refused."""
    if sample.is_placeholder:
        return masked_sequence(prompt_ids, eos_id)
    start = sample.prompt_length
    return TokenSequence(
        prompt_ids=sample.ids[:start].tolist(),
        completion_ids=sample.ids[start:].tolist(),
        log_probs=sample.log_probs[start:].tolist(),
        mask=sample.loss_mask[start:].astype(int).tolist(),
        turn_end=sample.turn_end[start:].astype(int).tolist(),
        turn_rewards=sample.turn_rewards.tolist(),
    )


def masked_sequence(prompt_ids: list[int], eos_id: int) -> TokenSequence:
    """One that trains nothing."""
    return TokenSequence(prompt_ids, [eos_id], [0.0], [0], [0], [])


def sampled_sequence(
    prompt_ids: list[int], completion_ids: list[int], log_probs: Sequence[float | None] | None, eos_id: int
) -> TokenSequence:
    """One turn that the trainer sampled itself; its reward is not known yet and stands as 0."""
    if not completion_ids:
        return masked_sequence(prompt_ids, eos_id)
    length = len(completion_ids)
    known: list[float | None] = [None] * length if log_probs is None else [*log_probs]
    return TokenSequence(prompt_ids, completion_ids, known, [1] * length, [0] * (length - 1) + [1], [0.0])


def own_rollout(
    sequence: TokenSequence,
    *,
    mode_reason: str,
    step: str | None,
    reward: float | None = None,
    result: Result | None = None,
) -> TRLRollout:
    """A single turn that the trainer generated itself."""
    failure = None if result is None else result.get(FAILURE_CLASS)
    return TRLRollout(
        sequences=(sequence,),
        reward=reward,
        turn_rewards=[] if reward is None else [reward],
        mode=Mode.SINGLE_TURN,
        mode_reason=mode_reason,
        stop_reason="failed" if failure else "completed",
        failure_class=failure,
        trajectory_id=FAILED_ID if failure else "own generation",
        num_turns=1,
        num_forks=0,
        dropped_turns=[],
        policy_versions=[],
        step=step,
        result=result,
    )
