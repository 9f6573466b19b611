import math

import pytest

from nemo_gym.schemas.episode import BaseMultiRewardVerifyResponse
from nemo_gym.scoring.weighted_reward import weighted_reward
from tests.rows import response_saying, row_asking


def test_parts_sum_to_the_reward_and_fit_a_verify_answer() -> None:
    scores = {"correct": 1.0, "format": 0.5, "length": 0.1}
    result = weighted_reward(scores, {"correct": 0.7, "format": 0.2, "length": 0.1})
    assert result.components == pytest.approx({"correct": 0.7, "format": 0.1, "length": 0.01})
    assert result.reward == pytest.approx(0.81)
    answer = BaseMultiRewardVerifyResponse.model_validate(
        {**row_asking("2 + 2?"), "response": response_saying("4"), **result.fields()}
    )
    assert answer.reward_components == result.components


def test_a_forgotten_or_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="must be the same"):
        weighted_reward({"correct": 1.0}, {"correct": 0.5, "format": 0.5})


def test_a_part_that_is_not_finite_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="`correct`"):
        weighted_reward({"correct": math.nan}, {"correct": 1.0})
