"""The estimators of `nemo_gym.training.advantages` for torch tensors, whose device and dtype their answers keep.

Same names, same arguments, same formulas: NumPy computes them in float64 on the CPU, and no gradient flows through.
Any argument may be a tensor or what the estimator itself takes; a reward of None may also be NaN. The answer is like
the first argument that is a tensor of floating-point numbers; where none is, like the first tensor, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from nemo_gym.training import advantages as estimators
from nemo_gym.training.groups import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")


@dataclass(frozen=True)
class TensorAdvantages:
    """What an estimator over tokens answers."""

    advantages: Tensor
    """[B, T], not whitened unless the estimator says so."""
    returns: Tensor
    """[B, T] what a critic is to learn: advantage + V."""


def _answering_a_tensor(estimator: Callable[P, FloatArray]) -> Callable[P, Tensor]:
    @wraps(estimator)
    def of_tensors(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return _like((*args, *kwargs.values()), estimator(*map(_array, args), **_arrays(kwargs)))

    return of_tensors


def _answering_two(estimator: Callable[P, estimators.TokenAdvantages]) -> Callable[P, TensorAdvantages]:
    @wraps(estimator)
    def of_tensors(*args: P.args, **kwargs: P.kwargs) -> TensorAdvantages:
        answer = estimator(*map(_array, args), **_arrays(kwargs))
        given = (*args, *kwargs.values())
        return TensorAdvantages(advantages=_like(given, answer.advantages), returns=_like(given, answer.returns))

    return of_tensors


def _is_tensor(value: object) -> bool:
    # By its own method: torch need not be loaded to know that something is no tensor.
    return hasattr(value, "detach")


def _array(value: Any) -> Any:
    if not _is_tensor(value):
        return value
    plain = value.detach()
    return np.asarray((plain.double() if plain.is_floating_point() else plain).cpu())


def _arrays(named: dict[str, Any]) -> dict[str, Any]:
    return {name: _array(value) for name, value in named.items()}


def _like(given: tuple[Any, ...], answer: FloatArray) -> Tensor:
    tensors = [value for value in given if _is_tensor(value)]
    if not tensors:
        raise TypeError("none of the arguments is a tensor; nemo_gym.training.advantages takes arrays")
    floating = [value for value in tensors if value.is_floating_point()]
    model: Tensor = floating[0] if floating else tensors[0].float()
    return model.new_tensor(answer)


grpo = _answering_a_tensor(estimators.grpo)
rloo = _answering_a_tensor(estimators.rloo)
to_tokens = _answering_a_tensor(estimators.to_tokens)
masked_whiten = _answering_a_tensor(estimators.masked_whiten)
reinforce_plus_plus = _answering_two(estimators.reinforce_plus_plus)
gae = _answering_two(estimators.gae)
turn_gae = _answering_two(estimators.turn_gae)
bi_level_gae = _answering_two(estimators.bi_level_gae)
