"""RunningGym: the servers of a run, asked by a program without an event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.training.rollouts import RunningGym

LAKE = "frozen_lake"
CONFIG = {
    "config_paths": [
        "responses_api_models/scripted_model/configs/scripted_model.yaml",
        f"resources_servers/{LAKE}/configs/{LAKE}.yaml",
    ]
}


@pytest.fixture
def gym(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGym]:
    monkeypatch.chdir(tmp_path)
    with RunningGym.start(CONFIG) as gym:
        yield gym


@pytest.mark.e2e
def test_whether_an_environment_talks_back_is_asked_with_the_runs_token(gym: RunningGym) -> None:
    assert gym.talks_back(LAKE)
    results = gym.collect(gym.rows_of(f"{LAKE}_simple_agent"))
    assert {result["mode"] for result in results} == {"multi_turn"}


@pytest.mark.e2e
def test_a_refusal_is_an_error_and_no_environment_of_a_single_turn(gym: RunningGym) -> None:
    gym.client.token = "another run's"
    with pytest.raises(EpisodeFailure, match="401"):
        gym.talks_back(LAKE)


@pytest.mark.e2e
def test_servers_are_found_by_name_until_the_gym_is_closed(gym: RunningGym) -> None:
    assert gym.url_of(LAKE).startswith("http://")
    with pytest.raises(ConfigError, match=LAKE):
        gym.url_of("frozen_lakes")
    gym.close()
    gym.close()
    with pytest.raises(LaunchError, match="closed"):
        gym.submit([{}])
