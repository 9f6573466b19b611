"""Normalisation and group filters: who is compared with whom, what is kept, and nothing is ever NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.training.advantages import grpo
from nemo_gym.training.group_filters import min_p, top_k, top_k_abs, top_p
from nemo_gym.training.normalisation import normalise_rewards

REWARDS = [1.0, 0.0, 4.0, 2.0, 3.0, 3.0]
STATES = [0, 0, 1, 1, 2, 2]
KINDS = ["calendar", "calendar", "calendar", "calendar", "sokoban", "sokoban"]
METHODS = ["identity", "mean", "mean_std", "asym_clip"]
any_speed = settings(deadline=None, max_examples=60)
batches = st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(-1e3, 1e3)), max_size=24)


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("state", [0.5, -0.5, 1.0, -1.0, 0, 0]),
        ("inductive", [-0.75, -1.75, 2.25, 0.25, 0, 0]),
        ("batch", list(np.array(REWARDS) - 13 / 6)),
    ],
)
def test_grouping_says_who_is_compared(grouping, expected) -> None:
    normalised = normalise_rewards(REWARDS, grouping=grouping, method="mean", states=STATES, kinds=KINDS)
    assert normalised == pytest.approx(expected)


def test_methods_do_what_their_names_say() -> None:
    rewards = [0.0] * 15 + [1.0]
    answers = {
        method: normalise_rewards(rewards, grouping="batch", method=method, states=[], kinds=[]) for method in METHODS
    }
    std = np.std(rewards, ddof=1)
    assert answers["identity"].tolist() == rewards
    assert answers["mean"][-1] == pytest.approx(15 / 16)
    assert answers["mean_std"][-1] == pytest.approx(15 / 16 / std, rel=1e-5) and answers["mean_std"][-1] > 3
    assert answers["asym_clip"][-1] == 3.0
    assert normalise_rewards([1.0] * 15 + [0.0], grouping="batch", method="asym_clip", states=[], kinds=[])[-1] == -1.0


def test_mean_std_by_state_is_grpo() -> None:
    normalised = normalise_rewards(REWARDS, grouping="state", method="mean_std", states=STATES, kinds=KINDS)
    assert (normalised == grpo(REWARDS, STATES)).all()


@any_speed
@given(batch=batches, method=st.sampled_from(METHODS), grouping=st.sampled_from(["state", "inductive", "batch"]))
def test_failed_rollouts_get_zero_and_change_nobody_else(batch, method, grouping) -> None:
    def normalise(members):
        ids = [group for group, _ in members]
        return normalise_rewards([r for _, r in members], grouping=grouping, method=method, states=ids, kinds=ids)

    normalised = normalise(batch)
    assert np.isfinite(normalised).all()
    scored = [place for place, (_, reward) in enumerate(batch) if reward is not None]
    assert normalised[scored] == pytest.approx(normalise([batch[place] for place in scored]), rel=1e-9, abs=1e-9)
    assert not np.delete(normalised, scored).any()


def test_ids_and_rewards_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="6 rewards for 2 group ids"):
        normalise_rewards(REWARDS, grouping="state", method="mean", states=[0, 0], kinds=KINDS)


SPREAD = [0.0, 4.0, 0.0, 2.0, 0.0, 2.0, 1.0, 1.0]
"""Four groups of two, whose spreads are as 4 : 2 : 2 : 0."""
GROUPS = ["wide", "wide", "a", "a", "b", "b", "flat", "flat"]


def names_kept(kept) -> list[str]:
    return sorted({name for name, stays in zip(GROUPS, kept.rollouts, strict=True) if stays})


@pytest.mark.parametrize(
    ("p", "names"), [(0.5, ["wide"]), (0.51, ["a", "wide"]), (0.75, ["a", "wide"]), (1.0, ["a", "b", "wide"])]
)
def test_top_p_linear_keeps_the_fewest_groups_that_hold_that_share_of_the_spread(p, names) -> None:
    kept = top_p(SPREAD, GROUPS, p)
    assert names_kept(kept) == names
    assert kept.ratio == len(names) / 4 and (kept.groups, kept.of_groups) == (len(names), 4)


def test_top_p_softmax_gives_groups_without_spread_a_share_too() -> None:
    assert names_kept(top_p(SPREAD, GROUPS, 1.0, share="softmax")) == ["a", "b", "flat", "wide"]
    assert names_kept(top_p(SPREAD, GROUPS, 0.6, share="softmax")) == ["wide"]


def test_top_k_takes_a_fraction_and_top_k_abs_a_number() -> None:
    assert names_kept(top_k(SPREAD, GROUPS, 0.5)) == ["a", "wide"]
    assert names_kept(top_k(SPREAD, GROUPS, 0.01)) == ["wide"]
    assert names_kept(top_k_abs(SPREAD, GROUPS, 3)) == ["a", "b", "wide"]
    assert top_k_abs(SPREAD, GROUPS, 99).ratio == 1.0


def test_min_p_compares_with_the_widest_group() -> None:
    assert names_kept(min_p(SPREAD, GROUPS, 0.5)) == ["a", "b", "wide"]
    assert names_kept(min_p(SPREAD, GROUPS, 0.6)) == ["wide"]
    assert min_p(SPREAD, GROUPS, 0.0).ratio == 1.0


def test_where_no_group_differs_all_are_equal_to_a_filter() -> None:
    assert top_p([1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1], 1.0).ratio == 1.0
    assert top_p([1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1], 0.5).rollouts.tolist() == [True, True, False, False]


def test_a_group_in_which_every_rollout_failed_is_never_kept_and_counts_in_the_ratio() -> None:
    for kept in (min_p([None, None, 1.0], [0, 0, 1], 0.0), top_k_abs([None, None, 1.0], [0, 0, 1], 9)):
        assert kept.rollouts.tolist() == [False, False, True]
        assert kept.ratio == 0.5
    assert min_p([None], [0], 0.0).ratio == top_p([], [], 0.5).ratio == 0.0


def test_a_failed_rollout_of_a_kept_group_does_not_stay() -> None:
    assert top_k_abs([0.0, None, 1.0], [0, 0, 0], 1).rollouts.tolist() == [True, False, True]


@any_speed
@given(batch=batches, p=st.floats(0.01, 1))
def test_filters_keep_whole_groups_of_scored_rollouts_and_at_least_one(batch, p) -> None:
    rewards, ids = [reward for _, reward in batch], [group for group, _ in batch]
    scored = np.array([reward is not None for reward in rewards], dtype=bool)
    for kept in (
        top_p(rewards, ids, p),
        top_p(rewards, ids, p, share="softmax"),
        top_k(rewards, ids, p),
        min_p(rewards, ids, p),
    ):
        assert kept.rollouts.any() == scored.any()
        chosen = {group for group, stays in zip(ids, kept.rollouts, strict=True) if stays}
        expected = [group in chosen and has for group, has in zip(ids, scored, strict=True)]
        assert kept.rollouts.tolist() == expected
        assert kept.groups == len(chosen)


def test_parameters_out_of_range_are_refused_by_name() -> None:
    for call in (
        lambda: top_p(SPREAD, GROUPS, 0.0),
        lambda: top_k(SPREAD, GROUPS, 3),
        lambda: top_k_abs(SPREAD, GROUPS, 0),
        lambda: min_p(SPREAD, GROUPS, 1.5),
    ):
        with pytest.raises(ValueError, match="takes"):
            call()
