"""A working directory with three implementation folders and configs that are right, for tests to spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig
from nemo_gym.config.load import load_config
from nemo_gym.errors import ConfigError

MAZE = """\
maze:
  resources_servers:
    maze:
      entrypoint: app.py
      domain: games
maze_agent:
  responses_api_agents:
    walker:
      entrypoint: app.py
      max_steps: 20
      resources_server: {type: resources_servers, name: maze}
      model_server: {type: responses_api_models, name: policy_model}
      datasets:
      - {name: example, type: example, jsonl_fpath: resources_servers/maze/data/example.jsonl}
"""

MODEL = """\
policy_model:
  responses_api_models:
    oracle:
      entrypoint: app.py
      base_url: ${policy_base_url}
"""


class Workplace:
    """A working directory. `load` reads the configuration as a command started there would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def load(self, *argv: str, **settings: object) -> GymConfig:
        return load_config(argv, cwd=self.path, **settings)  # type: ignore[arg-type]

    def mistakes(self, *argv: str, **settings: object) -> list[str]:
        """The line of each mistake."""
        with pytest.raises(ConfigError) as caught:
            self.load(*argv, **settings)
        return str(caught.value).splitlines()


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path)
    for folder in ("resources_servers/maze", "responses_api_agents/walker", "responses_api_models/oracle"):
        place.write(f"{folder}/app.py", "")
    place.write("resources_servers/maze/data/example.jsonl", "{}\n")
    place.write("maze.yaml", MAZE)
    place.write("model.yaml", MODEL)
    place.write("env.yaml", "policy_base_url: http://127.0.0.1:8000/v1\n")
    return place
