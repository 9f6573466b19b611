"""The page `docs/simulated-users.md` works as printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.environments.users import SimulatedUserConfig, UserReply
from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell, write_files

PAGE = ROOT / "docs" / "simulated-users.md"
SERVE_PIZZA, COLLECT_PIZZA, SERVE_MODEL_USER, SERVE_SCRIPTED_MODEL_USER, COLLECT_SUPPORT = bash_blocks(PAGE)
SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"


def rollouts(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.e2e
def test_a_scripted_user_of_the_page_orders_a_pizza(tmp_path: Path) -> None:
    write_files(PAGE, checkout_in(tmp_path))
    with running(SERVE_PIZZA, tmp_path):
        shell(COLLECT_PIZZA, tmp_path)
    [result] = rollouts(tmp_path / "results" / "pizza.jsonl")
    assert (result["reward"], result["turn_rewards"]) == (1.0, [0.0, 0.5, 0.5])
    assert all(f'"{key}": {json.dumps(result[key])}' in PAGE.read_text() for key in ("reward", "turn_rewards"))


@pytest.mark.e2e
def test_a_model_server_plays_the_customer(tmp_path: Path) -> None:
    checkout_in(tmp_path)
    always_right = " ++policy_model.responses_api_models.scripted_model.policy=oracle"
    with running(SERVE_SCRIPTED_MODEL_USER.strip() + always_right, tmp_path):
        shell(COLLECT_SUPPORT, tmp_path)
    for result in rollouts(tmp_path / "results" / "customer_support.jsonl"):
        assert result["reward"] == 1.0 and result["user_usage"]["total_tokens"] > 0
        policys = sum(turn["input_tokens"] + turn["output_tokens"] for turn in result["turns"])
        assert result["usage"]["total_tokens"] == policys


@pytest.mark.e2e
def test_two_endpoints_in_env_yaml_are_all_that_a_real_model_as_the_customer_needs(tmp_path: Path) -> None:
    checkout_in(tmp_path)
    ends = ("base_url: http://127.0.0.1:9/v1", "api_key: key", "model_name: any")
    (tmp_path / "env.yaml").write_text("\n".join(f"{who}_{end}" for who in ("policy", "user") for end in ends))
    with running(SERVE_MODEL_USER, tmp_path):
        pass


def test_the_page_states_every_key_of_a_simulated_user_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    fields = SimulatedUserConfig.model_fields
    assert fields.keys() <= rows.keys()
    for key in ("max_turns", "max_heard_chars", "max_attempts"):
        assert rows[key] == str(fields[key].default)
    assert rows["timeout_s"] == f"{fields['timeout_s'].default:g}"
    assert rows["stop_signal"] == f"`{fields['stop_signal'].default}`"


async def test_the_user_of_ones_own_on_the_page_haggles() -> None:
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Haggler" in block
    )
    names: dict[str, Any] = {"UserReply": UserReply}
    exec(code, names)
    haggler = names["Haggler"](20)
    assert [(await haggler.reply("10?")).text, (await haggler.reply("15, then.")).done] == ["15, and not less.", True]
