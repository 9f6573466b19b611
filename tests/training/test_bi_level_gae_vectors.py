"""Bi-level GAE against recorded inputs and outputs of the public implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemo_gym.training.advantages import TokenAdvantages, bi_level_gae, gae, masked_whiten

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "bi_level_gae_vectors.json"
CASES = {case["name"]: case for case in json.loads(VECTORS.read_text())["cases"]} if VECTORS.is_file() else {}
WITH_OUTPUTS = [name for name, case in CASES.items() if case["raw_advantages"] is not None]

pytestmark = pytest.mark.skipif(not CASES, reason=f"no recorded vectors at {VECTORS}")


def estimate(case: dict[str, Any], turn_end: str = "turn_end_mask") -> TokenAdvantages:
    arrays = [case[name] for name in ("token_level_rewards", "values", "loss_mask", turn_end)]
    return bi_level_gae(*arrays, gamma=case["gamma"], gae_lambda=case["lam"], high_level_gamma=case["high_level_gamma"])


def trained(case: dict[str, Any], values: Any) -> np.ndarray[Any, Any]:
    return np.array(values)[np.array(case["loss_mask"], dtype=bool)]


def test_there_are_twenty_cases_of_which_two_have_no_outputs() -> None:
    assert len(CASES) == 20
    assert sorted(CASES.keys() - set(WITH_OUTPUTS)) == ["all_zero_rewards", "zero_last_turn"]


@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_advantages_and_returns_are_those_recorded(name: str) -> None:
    case = CASES[name]
    answer = estimate(case)
    assert trained(case, answer.advantages) == pytest.approx(trained(case, case["raw_advantages"]), abs=1e-5)
    assert trained(case, answer.returns) == pytest.approx(trained(case, case["returns"]), abs=1e-5)
    outside = ~np.array(case["loss_mask"], dtype=bool)
    assert not answer.advantages[outside].any() and not answer.returns[outside].any()


@pytest.mark.parametrize("name", WITH_OUTPUTS)
@pytest.mark.parametrize(
    ("recorded", "unbiased"), [("whitened_verl", True), ("whitened_align_anything_fallback", False)]
)
def test_whitened_advantages_are_those_recorded_on_trained_tokens(name: str, recorded: str, unbiased: bool) -> None:
    case = CASES[name]
    whitened = masked_whiten(estimate(case).advantages, case["loss_mask"], unbiased=unbiased)
    if case[recorded] is None:
        assert not whitened.any(), "where the other raises, for one token, ours is zero"
    else:
        assert trained(case, whitened) == pytest.approx(trained(case, case[recorded]), abs=1e-3)


def test_true_turn_ends_tell_a_turn_that_earned_nothing_from_the_one_after_it() -> None:
    case = CASES["zero_reward_middle_turn"]
    merged, told = estimate(case), estimate(case, "true_turn_end_mask")
    assert not np.allclose(merged.advantages, told.advantages)
    # The middle turn sees the last reward one turn later: 0.9 · 1.0 less V, where the merged one saw it undiscounted.
    assert told.returns[0, [6, 7]] == pytest.approx([0.9, 0.9])
    assert merged.returns[0, [6, 7]] == pytest.approx([1.0, 1.0])


def test_an_episode_without_any_reward_is_one_turn_whose_advantage_is_minus_the_value() -> None:
    case = CASES["all_zero_rewards"]
    assert estimate(case).advantages == pytest.approx(np.array([[0, -0.2, -0.3, -0.4, -0.5]]))


def test_a_last_turn_without_reward_still_is_a_turn() -> None:
    case = CASES["zero_last_turn"]
    answer = estimate(case)
    # γ_h = 0.95, γ = λ = 1: the first turn's return is its own reward, the last one's is nothing.
    assert answer.returns == pytest.approx(np.array([[1.0, 1.0, 0, 0, 0, 0]]), abs=1e-12)
    assert answer.advantages == pytest.approx(np.array([[0.9, 0.8, 0, 0, -0.5, -0.6]]), abs=1e-12)


def test_without_discounts_the_recorded_outputs_are_those_of_gae() -> None:
    case = CASES["hg_1"]
    answer = gae(case["token_level_rewards"], case["values"], case["loss_mask"])
    assert trained(case, answer.advantages) == pytest.approx(trained(case, case["raw_advantages"]), abs=1e-5)
