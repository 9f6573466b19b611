"""The whole project under real `ng_run` and `ng_collect_rollouts`: configs, folders, processes."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.serving.runs import find_head, read_global_config
from nemo_gym.serving.server_client import ServerClient
from tests.compat.conftest import PROJECT
from tests.compat.rows import ROWS
from tests.e2e.test_run import READY, Launched

pytestmark = pytest.mark.e2e

CONFIGS = [
    "responses_api_models/canned_model/configs/canned_model.yaml",
    *(f"resources_servers/{name}/configs/{name}.yaml" for name in ("weather_lookup", "sticky_counter", "answer_judge")),
    *(f"resources_servers/{name}/configs/{name}.yaml" for name in ("graded_essay", "office_tools", "quiz_metrics")),
    *(f"resources_servers/{name}/configs/{name}.yaml" for name in ("two_part_reward", "turtle_env")),
    "resources_servers/bundle/word_sorter/configs/word_sorter.yaml",
]
AGENTS = {
    "weather_lookup": "courier_agent",
    "sticky_counter": "careful_agent",
    "sticky_counter_by_tens": "careful_agent",
    "answer_judge": "courier_agent",
    "graded_essay": "simple_agent",
    "office_tools": "simple_agent",
    "quiz_metrics": "courier_agent",
    "word_sorter": "courier_agent",
    "two_part_reward": "careful_agent",
    "turtle_env": "stepper_agent",
}
COLLECT = (sys.executable, "-c", "from nemo_gym.cli.collect_rollouts import main; main()")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project in which all its servers run."""
    folder = tmp_path_factory.mktemp("users") / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    gym = Launched(folder, f"+config_paths=[{','.join(CONFIGS)}]").until(READY)
    yield folder
    gym.process.send_signal(signal.SIGINT)
    assert gym.end() == 0, gym.output


def test_every_environment_gives_its_rewards(project: Path) -> None:
    rows, expected = [], []
    for environment, cases in ROWS.items():
        for row, reward in cases:
            agent = {"type": "responses_api_agents", "name": f"{environment}_{AGENTS[environment]}"}
            rows.append({**row, "agent_ref": agent, "case": len(expected)})
            expected.append(pytest.approx(reward))
    (project / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["+input_jsonl_fpath=rows.jsonl", "+output_jsonl_fpath=results.jsonl"]
    done = subprocess.run([*COLLECT, *arguments], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in (project / "results.jsonl").read_text().splitlines()]
    rewards = {result["case"]: result["reward"] for result in results}
    assert [rewards[case] for case in range(len(expected))] == expected

    metrics = json.loads((project / "results_aggregate_metrics.json").read_text())
    by_agent = {each["agent_ref"]["name"]: each for each in metrics}
    assert by_agent["quiz_metrics_courier_agent"]["key_metrics"]["pass@1/accuracy"] == 50.0
    assert by_agent["sticky_counter_careful_agent"]["key_metrics"] == {"rollouts_seen": 1}


def test_a_server_knows_where_the_others_are_and_so_does_a_program(project: Path) -> None:
    [(row, _)] = ROWS["two_part_reward"]
    config = read_global_config(find_head(project))
    model = config["policy_model"]["responses_api_models"]["canned_model"]
    answer = asyncio.run(run_once(ServerClient(global_config_dict=config), "two_part_reward_careful_agent", row))
    assert answer["model_url"] == f"http://{model['host']}:{model['port']}/v1"


async def run_once(client: ServerClient, agent: str, row: dict[str, Any]) -> Any:
    try:
        return (await client.post(agent, "/run", row)).parse()
    finally:
        await client.close()
