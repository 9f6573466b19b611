"""Servers of one process ask each other without sockets; everybody else asks them on their ports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.errors import Unreachable
from nemo_gym.launch import in_process
from nemo_gym.launch.gym import running_gym
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import bearer

ROOT = Path(__file__).resolve().parents[2]
NAME = "example_session_state_mgmt"


class NoSockets:
    """Refuses every request."""

    async def send(self, method: str, url: str, *_: object) -> None:
        raise Unreachable(f"{method} was to leave the process", url=url, delivered=False)

    async def close(self) -> None:
        """Nothing is held open."""


@pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")
async def test_a_rollout_leaves_the_process_only_on_its_way_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "SocketTransport", NoSockets)
    initial = {
        "config_paths": [
            f"resources_servers/{NAME}/configs/{NAME}.yaml",
            "responses_api_models/scripted_model/configs/scripted_model.yaml",
        ],
        NAME: {"resources_servers": {NAME: {"num_workers": 2}}},
        "in_process": True,
    }
    parser = GlobalConfigDictParserConfig(
        initial_global_config_dict=initial, skip_load_from_cli=True, skip_load_from_dotenv=True
    )
    rows = (ROOT / f"resources_servers/{NAME}/data/example.jsonl").read_text().splitlines()
    http = HttpClient()
    async with running_gym(parser.load(ROOT), cwd=tmp_path) as gym:
        urls = {name: address.urls for name, address in gym.directory.items()}
        agent = urls[f"{NAME}_simple_agent"][0]
        for row in rows:
            answer = await http.request("POST", f"{agent}/run", json=json.loads(row), headers=bearer(gym.token))
            assert answer.ok and isinstance(answer.parse()["reward"], float), answer.text
        verified = 0
        for url in urls[NAME]:
            shown = (await http.request("GET", f"{url}/metrics", headers=bearer(gym.token))).text
            verified += sum(
                int(line.split()[-1]) for line in shown.splitlines() if 'route="/verify",status="200"' in line
            )
        assert verified == len(rows)
    await http.close()
