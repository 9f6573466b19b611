"""Advantages of tensors are those of arrays, on the tensors' device and in their dtype, without a gradient."""

# ruff: noqa: E402 - what needs torch is imported where it is installed

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.training import advantages, torch_advantages
from tests.training.batches import random_batch

seeds = st.integers(0, 2**32 - 1)
any_speed = settings(deadline=None, max_examples=40)

OVER_TOKENS: dict[str, dict[str, Any]] = {
    "reinforce_plus_plus": {"gamma": 0.9},
    "gae": {"gamma": 0.9, "gae_lambda": 0.8, "bootstrap": 0.5},
    "turn_gae": {"high_level_gamma": 0.9, "gae_lambda": 0.8},
    "bi_level_gae": {"gamma": 0.9, "gae_lambda": 0.8, "high_level_gamma": 0.7},
}


def arguments(name: str, seed: int) -> list[np.ndarray[Any, Any]]:
    rewards, values, mask, ends = random_batch(seed).estimated
    return (
        [rewards, mask] if name == "reinforce_plus_plus" else [rewards, values, mask, ends][: 3 if name == "gae" else 4]
    )


@pytest.mark.parametrize("name", OVER_TOKENS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 0.0), (torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@any_speed
@given(seed=seeds)
def test_estimators_over_tokens_answer_the_same_for_tensors(name, dtype, tolerance, seed) -> None:
    given_arrays = arguments(name, seed)
    tensors = [torch.from_numpy(each) for each in given_arrays]
    tensors = [each.to(dtype) if each.is_floating_point() else each for each in tensors]
    exact = [each.double().numpy() if each.is_floating_point() else each.numpy() for each in tensors]
    expected = getattr(advantages, name)(*exact, **OVER_TOKENS[name])
    answer = getattr(torch_advantages, name)(*tensors, **OVER_TOKENS[name])
    for own, array in ((answer.advantages, expected.advantages), (answer.returns, expected.returns)):
        assert own.dtype == dtype and own.device == tensors[0].device and not own.requires_grad
        assert own.double().numpy() == pytest.approx(array, rel=tolerance, abs=tolerance)


@any_speed
@given(rewards=st.lists(st.none() | st.floats(-100, 100), min_size=1, max_size=12), seed=seeds)
def test_comparing_estimators_answer_the_same_for_tensors_with_nan_for_none(rewards, seed) -> None:
    groups = np.random.default_rng(seed).integers(0, 3, len(rewards))
    as_tensor = torch.tensor([float("nan") if each is None else each for each in rewards], dtype=torch.float64)
    for name, options in (("grpo", {}), ("grpo", {"divide_by_std": False}), ("rloo", {})):
        answer = getattr(torch_advantages, name)(as_tensor, torch.from_numpy(groups).tolist(), **options)
        assert answer.numpy() == pytest.approx(getattr(advantages, name)(rewards, groups.tolist(), **options), abs=0)


def test_whitening_and_spreading_take_tensors() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 1, 0]], dtype=torch.bool)
    values = torch.tensor([[1.0, 2.0, 9.0], [9.0, 3.0, 9.0]])
    whitened = torch_advantages.masked_whiten(values, mask, unbiased=False)
    assert whitened.numpy() == pytest.approx(advantages.masked_whiten(values.numpy(), mask.numpy(), unbiased=False))
    assert torch_advantages.to_tokens(torch.tensor([2.0, -1.0]), mask).tolist() == [[2, 2, 0], [0, -1, 0]]


def test_keyword_arguments_may_be_tensors_and_arrays_may_stand_beside_them() -> None:
    answer = torch_advantages.gae(
        [[0.0, 1.0]], [[0.5, 0.25]], loss_mask=torch.ones(1, 2, dtype=torch.bool), bootstrap=torch.tensor([2.0]).half()
    )
    assert answer.advantages.dtype == torch.float16
    assert (
        answer.advantages.tolist()
        == advantages.gae([[0.0, 1.0]], [[0.5, 0.25]], [[1, 1]], bootstrap=2.0).advantages.tolist()
    )
    ints = torch_advantages.to_tokens([1.0], torch.ones(1, 1, dtype=torch.int64))
    assert (ints.dtype, ints.tolist()) == (torch.float32, [[1.0]])


def test_no_gradient_flows_through() -> None:
    values = torch.tensor([[0.5, 0.25]], requires_grad=True)
    answer = torch_advantages.gae(torch.tensor([[0.0, 1.0]]), values, torch.ones(1, 2))
    assert not answer.advantages.requires_grad and not answer.returns.requires_grad


def test_without_any_tensor_the_arrays_functions_are_named() -> None:
    with pytest.raises(TypeError, match=r"nemo_gym\.training\.advantages"):
        torch_advantages.rloo([1.0, 0.0], [0, 0])
