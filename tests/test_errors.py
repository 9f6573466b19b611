"""Errors travel: between processes they keep text and fields."""

from __future__ import annotations

import pickle

import pytest

from nemo_gym import errors
from nemo_gym.errors import NemoGymError

PROBLEM = errors.ConfigProblem("a.yaml", "a.b", "is missing")
EXAMPLES = [
    errors.ConfigError([PROBLEM, PROBLEM]),
    errors.DataError("rows.jsonl", 7, "no JSON"),
    errors.LaunchError("calendar ended"),
    errors.Unreachable("cannot connect", url="http://127.0.0.1:9", delivered=False, attempts=3),
    errors.BadStatus("HTTP 503", url="http://127.0.0.1:9", delivered=False, status=503, body=b"{}"),
    errors.JudgeError("no verdict", server="judge", attempts=2),
    errors.UserError("no reply", server="user_model", attempts=3),
    errors.RolloutError("died", status=502, failure_class="agent_error", row={"_rowidx": 3}, result={}),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: NemoGymError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
