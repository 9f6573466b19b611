"""Whole episodes of the reference policies: full reward for the oracle, and nothing that breaks for the others."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.agent_loop.model import checked_response
from nemo_gym.env_checker.server import CheckedServer
from nemo_gym.reference_policies import Policy, PolicyPlayer
from nemo_gym.schemas.episode import ReverifyMode
from nemo_gym.schemas.rollout import FAILURE
from nemo_gym.serving.http import NO_RETRY

REPEATS = {"oracle": 1, "random": 4, "malformed": 16}
"""Episodes per row and policy; garbage has many forms."""
MAX_STEPS = 20
VOLATILE = frozenset({"timings", "turns", "response", "usage"})
"""Parts of a result that hold times; `response` is compared by its output."""


@dataclass(frozen=True)
class EpisodeKey:
    """One episode: which policy, on which row (by line), for which time."""

    policy: str
    row: int
    repeat: int

    def __str__(self) -> str:
        return f"policy `{self.policy}`, data/example.jsonl:{self.row + 1}"


class ReferenceModel:
    """A policy as the agent loop's model, in this process. Lets other episodes run between its calls."""

    def __init__(self, player: PolicyPlayer, rollout_key: str) -> None:
        self._player, self._rollout_key = player, rollout_key

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        output = self._player.respond(params, self._rollout_key)
        response = {"id": "resp_0", "object": "response", "created_at": 0, "model": "reference", "output": output}
        return checked_response(response, "reference policy")


class EpisodeChecks:
    """Plays every policy on every row: once alone, once more, and once all side by side."""

    def __init__(self, server: CheckedServer, policies: Mapping[str, Policy], rows: list[dict[str, Any]]) -> None:
        self._server, self._policies, self._rows = server, policies, rows
        self._results: dict[EpisodeKey, dict[str, Any]] = {}
        self._stateless = False

    async def run(self) -> list[str]:
        """What is wrong, one sentence per kind of mistake and policy."""
        self._stateless = (await self._server.get("/reverify_mode")).parse() == ReverifyMode.STATELESS
        problems = [f"policies.py: no policy `{name}`" for name in REPEATS if name not in self._policies]
        keys = [
            EpisodeKey(policy, row, repeat)
            for policy, repeats in REPEATS.items()
            if policy in self._policies
            for row in range(len(self._rows))
            for repeat in range(repeats)
        ]
        found: dict[EpisodeKey, str] = {}
        for key in keys:
            problem = await self._play_alone(key)
            if problem is not None:
                found[key] = problem
        sound = [key for key in keys if key not in found]
        for key in sound:
            if _outcome(await self._play(key)) != _outcome(self._results[key]):
                found[key] = "the same episode ends differently the second time: seed what is random by the row"
        if not found:
            together = await asyncio.gather(*(self._play(key) for key in keys))
            for key, result in zip(keys, together, strict=True):
                if _outcome(result) != _outcome(self._results[key]):
                    found[key] = "ends differently when other sessions are open: keep state in `request.session`"
        return problems + _grouped(found)

    def mean_rewards(self) -> dict[str, float]:
        """By policy, over rows and repeats."""
        rewards: dict[str, list[float]] = {}
        for key, result in self._results.items():
            if "reward" in result:
                rewards.setdefault(key.policy, []).append(result["reward"])
        return {policy: math.fsum(values) / len(values) for policy, values in rewards.items()}

    async def _play_alone(self, key: EpisodeKey) -> str | None:
        """Play an episode and keep its result; returns what is wrong with it."""
        try:
            result = await self._play(key)
        except Exception as error:  # noqa: BLE001 - policies.py is the author's code and may raise anything
            return f"the policy itself raises {type(error).__name__}: {error}"
        server_errors = self._server.log.take_server_errors()
        if server_errors:
            return server_errors[0]
        if FAILURE in result:
            return f"the episode fails at {result[FAILURE]['stage']}: {result[FAILURE]['message']}"
        self._results[key] = result
        return self._reward_problem(key.policy, result["reward"]) or await self._reverify_problem(key, result)

    async def _reverify_problem(self, key: EpisodeKey, result: dict[str, Any]) -> str | None:
        """A server that says so gives a stored rollout its reward again."""
        if not self._stateless:
            return None
        stored = {**self._rows[key.row], **{part: result[part] for part in ("response", "mode", "turns")}}
        answer = await self._server.post("/verify", stored)
        again = answer.parse().get("reward") if answer.ok else None
        if again != result["reward"]:
            what = f"answers {answer.status}: {answer.text[:200]}" if not answer.ok else f"is {again}"
            return (
                f"the reward is {result['reward']:g}, but scored again from what is stored it {what}; "
                "set `reverify_mode` to UNSUPPORTED if it cannot be"
            )
        return None

    def _reward_problem(self, policy: str, reward: float) -> str | None:
        low, high = _reward_range(self._policies)
        if policy == "oracle" and not math.isclose(reward, high, rel_tol=1e-6):
            return f"the reward is {reward:g}, but the oracle must get the full reward, {high:g}"
        if not low - 1e-6 <= reward <= high + 1e-6:
            return f"the reward is {reward:g}, outside {low:g} to {high:g} (`REWARD_RANGE` in policies.py)"
        return None

    async def _play(self, key: EpisodeKey) -> dict[str, Any]:
        """One episode with a player of its own, so that its course does not depend on other episodes."""
        row = self._rows[key.row]
        player = PolicyPlayer(self._policies, key.policy, [row], seed=key.repeat)
        environment = RemoteEnvironment(
            self._server.gym.client,
            self._server.name,
            rollout_id=f"{key.policy}-{key.row}-{key.repeat}",
            tool_timeout_s=60.0,
            verify_timeout_s=60.0,
            retry=NO_RETRY,
        )
        model = ReferenceModel(player, "rollout")
        return await run_rollout(Episode(row, environment, model, Budget(max_steps=MAX_STEPS)))


def _reward_range(policies: Mapping[str, Policy]) -> tuple[float, float]:
    """`REWARD_RANGE` of the module that the policies are from; 0 to 1 where it does not say."""
    modules = [vars(sys.modules[policy.__module__]) for policy in policies.values()]
    low, high = next((names["REWARD_RANGE"] for names in modules if "REWARD_RANGE" in names), (0.0, 1.0))
    return float(low), float(high)


def _outcome(result: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """What an episode came to, without times."""
    kept = {key: value for key, value in result.items() if key not in VOLATILE}
    return kept, result.get("response", {}).get("output")


def _grouped(found: Mapping[EpisodeKey, str]) -> list[str]:
    """One sentence per policy and problem, with the first place and how many more there are."""
    places: dict[tuple[str, str], list[EpisodeKey]] = {}
    for key, problem in found.items():
        places.setdefault((key.policy, problem), []).append(key)
    return [
        f"{keys[0]}: {problem}" + (f" (and in {len(keys) - 1} more episodes)" if len(keys) > 1 else "")
        for (_, problem), keys in places.items()
    ]
