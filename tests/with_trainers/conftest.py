"""Gyms that the tests of trainers share: real servers, a scripted policy that tells its tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nemo_gym.training.rollouts import RunningGym
from tests.with_trainers.gyms import start

StartGym = Callable[..., RunningGym]


@pytest.fixture(scope="session")
def gym() -> Iterator[RunningGym]:
    """One environment that talks back, one with tools, one of a single turn; and an agent whose rollouts fork."""
    with start() as gym:
        yield gym


@pytest.fixture
def start_gym() -> Iterator[StartGym]:
    """Starts one more, with these settings of its scripted model."""
    started = []

    def make(*environments: str, **model: Any) -> RunningGym:
        started.append(start(*environments, **model))
        return started[-1]

    yield make
    for one in started:
        one.close()
