"""`ng_reverify` against running servers: it finds the one that scores, and refuses what cannot be scored again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.documents import checkout_in, environment, running, shell

pytestmark = pytest.mark.e2e

SERVERS = ("calendar", "example_session_state_mgmt")
RUN = 'ng_run "+config_paths=[responses_api_models/scripted_model/configs/scripted_model.yaml,{}]"'.format(
    ",".join(f"resources_servers/{name}/configs/{name}.yaml" for name in SERVERS)
)


def reverify(name: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = (f"+rollouts_jsonl_fpath=results/{name}.jsonl", f"+output_jsonl_fpath=results/{name}_new.jsonl")
    command = [sys.executable, "-m", "nemo_gym.cli.reverify", *paths, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)


def test_each_rollout_goes_to_the_server_of_its_agent_if_that_can(tmp_path: Path) -> None:
    cwd = checkout_in(tmp_path)
    with running(RUN, cwd):
        for name in SERVERS:
            shell(
                f"ng_collect_rollouts +agent_name={name}_simple_agent +num_repeats=3 "
                f"+input_jsonl_fpath=resources_servers/{name}/data/example.jsonl "
                f"+output_jsonl_fpath=results/{name}.jsonl",
                cwd,
            )
        done = reverify("calendar", cwd)
        assert done.returncode == 0, done.stderr
        assert "requested 15 = completed 15 + failed 0" in done.stdout
        assert "changed 0 of 15 rewards" in done.stdout

        refused = reverify("example_session_state_mgmt", cwd)
        assert refused.returncode == 2
        assert refused.stderr == (
            "example_session_state_mgmt: `reverify_mode`: its verify() needs what happened in the session, "
            "which is gone: collect again\n"
        )
        assert not (cwd / "results" / "example_session_state_mgmt_new.jsonl").exists()

        again = reverify("calendar", cwd)
        assert again.returncode == 2 and "holds rollouts already" in again.stderr
        wrong = reverify("calendar", cwd, "+resources_server_name=calender", "+overwrite=true")
        assert wrong.returncode == 2 and "did you mean `calendar`?" in wrong.stderr

    by_key = {}
    for line in (cwd / "results" / "calendar_new.jsonl").read_text().splitlines():
        result = json.loads(line)
        by_key[result["_ng_task_index"], result["_ng_rollout_index"]] = result
    for line in (cwd / "results" / "calendar.jsonl").read_text().splitlines():
        old = json.loads(line)
        new = by_key.pop((old["_ng_task_index"], old["_ng_rollout_index"]))
        assert new.pop("_ng_previous_reward") == old["reward"]
        assert new == old, "the same server says the same, and nothing else changes"
    assert by_key == {}

    nobody = "+head_server.port=9"  # not the default port, where a run of somebody else may be found
    stopped = reverify("calendar", cwd, "+overwrite=true", nobody)
    assert stopped.returncode == 1 and "no running servers found" in stopped.stderr
