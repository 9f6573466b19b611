"""Mean reward of each environment's reference policies over freshly prepared rows: what the READMEs' tables show.

python -m tests.benchmarks.reference_rewards [environment ...] --num-rows 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.env_checker.episodes import ReferenceModel
from nemo_gym.env_checker.layout import CheckedSettings, server_settings
from nemo_gym.env_checker.server import CheckedServer
from nemo_gym.reference_policies import Policy, PolicyPlayer, load_policies
from nemo_gym.serving.http import NO_RETRY
from tests.benchmarks.table import machine, markdown_table

ROOT = Path(__file__).resolve().parents[2]
MAX_STEPS = 40


def prepared_rows(folder: Path, num_rows: int, seed: int) -> list[dict[str, Any]]:
    """Rows that the environment's `prepare.py` writes."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "rows.jsonl"
        command = ["--num-rows", str(num_rows), "--seed", str(seed), "--output", str(output)]
        module = f"resources_servers.{folder.name}.prepare"
        subprocess.run([sys.executable, "-m", module, *command], cwd=ROOT, check=True, capture_output=True)
        return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


async def mean_reward(
    folder: Path, settings: CheckedSettings, policies: dict[str, Policy], name: str, rows: list[dict[str, Any]]
) -> float:
    """The policy's mean over one episode of each row. Raises `RuntimeError` for an episode that fails."""
    player = PolicyPlayer(policies, name, rows)
    rewards = []
    async with CheckedServer(folder, settings).gym as gym:

        async def play(index: int, row: dict[str, Any]) -> float:
            environment = RemoteEnvironment(
                gym.client, folder.name, rollout_id=str(index), tool_timeout_s=60, verify_timeout_s=120, retry=NO_RETRY
            )
            model = ReferenceModel(player, str(index))
            result = await run_rollout(Episode(row, environment, model, Budget(max_steps=MAX_STEPS)))
            if "reward" not in result:
                raise RuntimeError(f"{folder.name}, {name}, row {index}: {result['_ng_failure']['message']}")
            return float(result["reward"])

        for start in range(0, len(rows), 20):
            part = rows[start : start + 20]
            rewards += await asyncio.gather(*(play(start + index, row) for index, row in enumerate(part)))
    return sum(rewards) / len(rewards)


def main() -> None:
    known = sorted(path.parent for path in (ROOT / "resources_servers").glob("*/prepare.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", help="names; none: all")
    parser.add_argument("--num-rows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    table = []
    for folder in known:
        if options.environments and folder.name not in options.environments:
            continue
        rows = prepared_rows(folder, options.num_rows, options.seed)
        settings, _ = server_settings(folder)
        policies = load_policies(folder / "policies.py")
        for name in policies:
            reward = asyncio.run(mean_reward(folder, settings, policies, name, rows))
            table.append((f"{folder.name}, {name}", f"{reward:.3f}"))
            print(*table[-1], file=sys.stderr)
    print(f"{machine()}; {options.num_rows} rows, seed {options.seed}, one episode each")
    print(markdown_table(("environment, policy", "mean reward"), table))


if __name__ == "__main__":
    main()
