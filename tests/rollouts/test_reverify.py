"""Reverifying: real resources servers score stored rollouts again, and nothing of the old collection changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from fastapi import HTTPException, Request

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from nemo_gym.cli import reverify as command
from nemo_gym.errors import ConfigError, DataError
from nemo_gym.rollouts.reverify import Reverified, ReverifyOptions, reverify, reverify_modes, with_rewards
from nemo_gym.rollouts.stored import StoredRollouts
from nemo_gym.testclient import InProcessGym
from tests.rows import response_saying, row_asking


class EchoConfig(BaseResourcesServerConfig):
    stricter: bool = False


class EchoVerifyRequest(BaseVerifyRequest):
    expected: str


class EchoServer(SimpleResourcesServer):
    """Full reward for the expected text; `stricter` for the same case too. Needs what `/seed_session` noted."""

    config: EchoConfig
    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session["expected"] = body.model_extra["expected"]
        return BaseSeedSessionResponse()

    async def verify(self, request: Request, body: EchoVerifyRequest) -> BaseVerifyResponse:
        said, expected = body.response.output_text, request.session["expected"]
        if said == "broken":
            raise HTTPException(500, "no verdict")
        same = said == expected if self.config.stricter else said.lower() == expected.lower()
        return BaseVerifyResponse(**body.model_dump(), reward=float(same), verdict="new")


class SilentServer(EchoServer):
    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.UNKNOWN


class StatefulServer(EchoServer):
    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.UNSUPPORTED


ANSWERS = ["Lima", "lima", "Oslo"]


def write_collection(folder: Path, answers: list[str]) -> Path:
    """Two tasks with three rollouts each, of which the last of task 1 has no result; stored in reverse."""
    rows = [
        {
            **row_asking("Capital of Peru?", expected="Lima"),
            "agent_ref": {"type": "responses_api_agents", "name": "walker"},
            "_ng_task_index": task,
            "_ng_rollout_index": rollout,
            "_ng_rollout_id": f"x-{task}-{rollout}",
        }
        for task in range(2)
        for rollout in range(3)
    ]
    (folder / "out_materialized_inputs.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    with (folder / "out.jsonl").open("wb") as file:
        for row in reversed(rows[:5]):
            text = answers[row["_ng_rollout_index"]]
            result = {
                "_ng_task_index": row["_ng_task_index"],
                "_ng_rollout_index": row["_ng_rollout_index"],
                "reward": float(text.lower() == "lima"),
                **row,
                "response": response_saying(text),
                "verdict": "old",
                "gone": "a field that verify no longer gives",
                "stop_reason": "completed",
                "turns": [{"index": 0}],
            }
            file.write(orjson.dumps(result) + b"\n")
    return folder / "out.jsonl"


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("echo", EchoServer, stricter=True)
        gym.add("silent", SilentServer)
        gym.add("stateful", StatefulServer)
        yield gym


async def run(gym: InProcessGym, rollouts: Path, **options: Any) -> Reverified:
    inputs = rollouts.with_name("out_materialized_inputs.jsonl")
    with StoredRollouts(rollouts, inputs) as stored:
        settings = {"output_path": rollouts.with_name("new.jsonl"), "server_of": {"walker": "echo"}, **options}
        return await reverify(gym.client, stored, ReverifyOptions(**settings))


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_stored_rollouts_get_new_rewards_and_keep_the_old_ones_beside(gym: InProcessGym, tmp_path: Path) -> None:
    rollouts = write_collection(tmp_path, ANSWERS)
    before = rollouts.read_bytes()
    done = await run(gym, rollouts)
    assert str(done.collected.tally) == "requested 6 = completed 5 + failed 0 + not run 1"
    assert done.num_changed == 2 and (done.mean_before, done.mean_after) == (pytest.approx(0.8), pytest.approx(0.4))
    results = {(each["_ng_task_index"], each["_ng_rollout_index"]): each for each in lines(tmp_path / "new.jsonl")}
    rewards = {key: (each["_ng_previous_reward"], each["reward"]) for key, each in results.items()}
    assert rewards == {(0, 0): (1, 1), (0, 1): (1, 0), (0, 2): (0, 0), (1, 0): (1, 1), (1, 1): (1, 0)}
    result = results[0, 1]
    assert result["verdict"] == "new" and "gone" not in result
    assert result["stop_reason"] == "completed" and result["turns"] == [{"index": 0}], "what the agent recorded stays"
    assert result["response"] == response_saying("lima") and result["_ng_rollout_id"] == "x-0-1"
    assert rollouts.read_bytes() == before


async def test_metrics_are_written_although_the_agent_does_not_run(gym: InProcessGym, tmp_path: Path) -> None:
    done = await run(gym, write_collection(tmp_path, ANSWERS))
    [entry] = done.collected.metrics.entries
    assert entry.agent_metrics["mean/reward"] == pytest.approx(0.4)
    assert "these are the default ones" in done.collected.metrics.notes[0]


async def test_no_session_is_left_open(gym: InProcessGym, tmp_path: Path) -> None:
    await run(gym, write_collection(tmp_path, ["Lima", "broken", "Oslo"]), max_attempts=1)
    metrics = await gym.client.get("echo", "/metrics")
    assert "\nng_sessions 0\n" in metrics.text


async def test_a_verification_that_fails_is_a_failure_and_is_tried_again_on_resume(
    gym: InProcessGym, tmp_path: Path
) -> None:
    rollouts = write_collection(tmp_path, ["Lima", "broken", "Oslo"])
    done = await run(gym, rollouts)
    assert str(done.collected.tally) == "requested 6 = completed 3 + failed 2 (verify_error 2) + not run 1"
    assert all("reward" not in each for each in lines(tmp_path / "new_failures.jsonl"))
    again = await run(gym, rollouts, resume=True)
    assert again.collected.tally.completed == 3 and len(lines(tmp_path / "new.jsonl")) == 3
    assert [each["_ng_attempt_index"] for each in lines(tmp_path / "new_failures.jsonl")] == [1, 1]


async def test_resuming_goes_on_with_rollouts_that_came_since(gym: InProcessGym, tmp_path: Path) -> None:
    rollouts = write_collection(tmp_path, ANSWERS)
    whole = rollouts.read_bytes()
    rollouts.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]) + b'{"torn')
    assert (await run(gym, rollouts)).collected.tally.completed == 2
    rollouts.write_bytes(whole)
    assert (await run(gym, rollouts, resume=True)).collected.tally.completed == 5


async def test_other_rollouts_are_not_mixed_into_the_same_output(gym: InProcessGym, tmp_path: Path) -> None:
    await run(gym, write_collection(tmp_path, ANSWERS))
    other = tmp_path / "elsewhere"
    other.mkdir()
    rollouts = write_collection(other, ANSWERS)
    with pytest.raises(DataError, match="`reverified` was"):
        await run(gym, rollouts, output_path=tmp_path / "new.jsonl", resume=True)
    with pytest.raises(DataError, match="is read and would be written over"):
        await run(gym, rollouts, output_path=rollouts, overwrite=True)


async def test_a_server_says_whether_it_can(gym: InProcessGym) -> None:
    modes = await reverify_modes(gym.client, ["echo", "silent", "stateful"])
    assert modes == {
        "echo": ReverifyMode.STATELESS,
        "silent": ReverifyMode.UNKNOWN,
        "stateful": ReverifyMode.UNSUPPORTED,
    }


def test_servers_that_cannot_are_refused_and_those_that_do_not_say_need_force(
    capsys: pytest.CaptureFixture[str],
) -> None:
    modes = {"silent": ReverifyMode.UNKNOWN, "stateful": ReverifyMode.UNSUPPORTED, "echo": ReverifyMode.STATELESS}
    with pytest.raises(ConfigError) as caught:
        command._refuse_unable(modes, force=False)
    assert [problem.file for problem in caught.value.problems] == ["silent", "stateful"]
    with pytest.raises(ConfigError) as caught:
        command._refuse_unable(modes, force=True)
    assert [problem.file for problem in caught.value.problems] == ["stateful"]
    command._refuse_unable({"silent": ReverifyMode.UNKNOWN}, force=True)
    assert "warning: `silent` does not say" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mutation", "message"),
    [
        (lambda text: text.replace(b'"_ng_task_index":1', b'"_ng_task_index":7'), r"rollout \(7, 1\) is not in"),
        (lambda text: b'{"a": 1}\n' + text, "is no result of a rollout"),
    ],
)
def test_results_of_another_collection_are_refused(tmp_path: Path, mutation: Any, message: str) -> None:
    rollouts = write_collection(tmp_path, ANSWERS)
    rollouts.write_bytes(mutation(rollouts.read_bytes()))
    with pytest.raises(DataError, match=message):
        StoredRollouts(rollouts, tmp_path / "out_materialized_inputs.jsonl")


def test_rows_that_are_no_materialized_inputs_are_refused(tmp_path: Path) -> None:
    rollouts = write_collection(tmp_path, ANSWERS)
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps(row_asking("hi")) + b"\n")
    with pytest.raises(DataError, match="is no row of materialized inputs"):
        StoredRollouts(rollouts, tmp_path / "rows.jsonl")


def test_turns_keep_their_course_and_get_the_rewards_that_they_have_now() -> None:
    turns = [{"index": 0, "reward": None}, {"index": 1, "reward": 0.5}, {"index": 2, "reward": 1.0}]
    assert [turn["reward"] for turn in with_rewards(turns, [0.1, 0.2])] == [None, 0.1, 0.2]
    assert with_rewards(turns, [0.1]) == turns, "rewards of another course are not mixed in"
