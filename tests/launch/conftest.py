"""Configurations of toy servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig, ServerInstance
from tests.launch.toys import write_toy

MakeConfig = Callable[..., GymConfig]


@pytest.fixture
def toy_config(tmp_path: Path) -> MakeConfig:
    """A function: codes of toy servers by name, keys of the configuration → a configuration."""

    def make(codes: dict[str, str], **values: object) -> GymConfig:
        instances = {}
        for name, code in codes.items():
            instances[name] = ServerInstance(
                name=name,
                server_type="resources_servers",
                implementation=name,
                folder=write_toy(tmp_path, name, code),
                entrypoint="app.py",
                host="127.0.0.1",
                port=None,
                num_workers=1,
                settings={"entrypoint": "app.py"},
                source="toy.yaml",
            )
        return GymConfig(values=dict(values), instances=instances, sources=("toy.yaml",))

    return make
