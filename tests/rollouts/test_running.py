"""Running rows on a real agent: order of completion, bounded concurrency, typed failures, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from nemo_gym.rollouts.attempt import Result, attempt_rollout
from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.running import STARTED_AT_ONCE, Stop, run_each, run_rollouts
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.server_client import ServerClient


def row(task: int = 0, *, agent: str = "tiny_agent", **fields: Any) -> dict[str, Any]:
    return {
        "responses_create_params": {"input": "hi"},
        "agent_ref": {"type": "responses_api_agents", "name": agent},
        "_ng_task_index": task,
        "_ng_rollout_index": 0,
        "_ng_attempt_index": 0,
        **fields,
    }


async def seen(http: HttpClient, agent_url: str) -> dict[str, Any]:
    return (await http.request("GET", agent_url + "/seen")).parse()


async def told_to_cancel(http: HttpClient, agent_url: str, tasks: list[int]) -> bool:
    """Whether the agent learns, if not at once then soon, that nobody waits for these tasks any more."""
    for _ in range(250):
        if {task for task, _ in (await seen(http, agent_url))["cancelled"]} >= set(tasks):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_results_come_in_order_of_completion(client: ServerClient) -> None:
    rows = [row(0, delay_s=0.4), row(1, delay_s=0.2), row(2)]
    order = [done["_ng_task_index"] async for done, _ in run_rollouts(client, rows)]
    assert order == [2, 1, 0]


async def test_no_more_rollouts_run_at_a_time_than_allowed(
    client: ServerClient, http: HttpClient, agent_url: str
) -> None:
    rows = [row(task, delay_s=0.02) for task in range(12)]
    assert len([result async for result in run_rollouts(client, rows, num_parallel=3)]) == 12
    assert (await seen(http, agent_url))["most_running"] == 3


async def test_the_oldest_rollout_that_runs_is_known(client: ServerClient) -> None:
    ongoing = Ongoing()
    rows = [row(0, delay_s=0.3), row(1), row(2, delay_s=0.2)]
    oldest = []
    async for _ in run_rollouts(client, rows, ongoing=ongoing):
        found = ongoing.oldest()
        oldest.append(None if found is None else found[0])
    assert oldest == ["task 0, rollout 0", "task 0, rollout 0", None]


async def test_rows_are_read_only_as_there_is_room(client: ServerClient) -> None:
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield row(read)

    got = 0
    async with aclosing(run_rollouts(client, endless(), num_parallel=4)) as results:
        async for _ in results:
            got += 1
            if got == 10:
                break
    assert read <= 10 + 4


@pytest.mark.parametrize(
    ("behaviour", "failure_class", "terminal"),
    [
        ("fail", "model_error", False),
        ("fail_terminal", "context_overflow", True),
        ("status_500", "agent_error", False),
        ("status_422", "bad_row", True),
        ("no_reward", "agent_error", False),
        ("nan_reward", "agent_error", False),
        ("list", "agent_error", False),
        ("garbage", "agent_error", False),
    ],
)
async def test_an_answer_that_is_no_result_is_a_typed_failure_without_reward(
    client: ServerClient, behaviour: str, failure_class: str, terminal: bool
) -> None:
    result = await attempt_rollout(client, row(7, behaviour=behaviour), timeout_s=10)
    assert (result["_ng_failure_class"], result["_ng_failure_terminal"]) == (failure_class, terminal)
    assert result["_ng_failure"]["message"]
    assert result["_ng_task_index"] == 7
    assert "reward" not in result


async def test_an_agent_that_does_not_answer_in_time_is_a_timeout_and_is_told(
    client: ServerClient, http: HttpClient, agent_url: str
) -> None:
    result = await attempt_rollout(client, row(3, behaviour="hang"), timeout_s=0.2)
    assert (result["_ng_failure_class"], result["_ng_failure"]["stage"]) == ("timeout", "collect")
    assert await told_to_cancel(http, agent_url, [3])


async def test_an_agent_that_nobody_runs_is_unreachable_after_a_few_attempts(client: ServerClient) -> None:
    result = await attempt_rollout(client, row(agent="dead_agent"), timeout_s=10)
    assert result["_ng_failure_class"] == "unreachable"
    assert result["_ng_failure"]["server"] == "dead_agent"
    assert result["_ng_failure"]["attempts"] > 1


async def test_one_failed_rollout_stops_no_other(client: ServerClient) -> None:
    rows = [row(0, behaviour="status_500"), row(1), row(2, agent="dead_agent"), row(3)]
    results = {done["_ng_task_index"]: result async for done, result in run_rollouts(client, rows)}
    assert sorted(task for task, result in results.items() if "reward" in result) == [1, 3]
    assert len(results) == 4


async def test_a_defect_in_the_rows_reaches_the_caller(client: ServerClient) -> None:
    with pytest.raises(KeyError, match="agent_ref"):
        async for _ in run_rollouts(client, [{"responses_create_params": {"input": "hi"}}]):
            pass


async def test_leaving_the_loop_cancels_what_still_runs(client: ServerClient, http: HttpClient, agent_url: str) -> None:
    # The first answers late enough for the others to have reached the agent by then.
    rows = [row(0, delay_s=0.5), row(1, behaviour="hang"), row(2, behaviour="hang")]
    async with aclosing(run_rollouts(client, rows)) as results:
        async for _ in results:
            break
    assert await told_to_cancel(http, agent_url, [1, 2])


async def test_stop_lets_running_rollouts_finish_and_starts_no_other(client: ServerClient) -> None:
    stop = Stop()
    finished = []
    async for done, _ in run_rollouts(
        client, (row(task, delay_s=0.05) for task in range(100)), num_parallel=2, stop=stop
    ):
        finished.append(done["_ng_task_index"])
        if len(finished) == 1:
            stop.ask(grace_s=30)
    assert sorted(finished) == [0, 1]


async def test_stop_cancels_what_runs_longer_than_its_grace(
    client: ServerClient, http: HttpClient, agent_url: str
) -> None:
    stop = Stop()
    rows = [row(0), row(1, behaviour="hang")]
    finished = []
    async for done, _ in run_rollouts(client, rows, stop=stop):
        finished.append(done["_ng_task_index"])
        stop.ask(grace_s=0.1)
    assert finished == [0]
    assert await told_to_cancel(http, agent_url, [1])


async def test_starting_thousands_leaves_the_event_loop_to_others_in_between() -> None:
    started: list[int] = []
    seen: set[int] = set()
    go_on = asyncio.Event()

    async def attempt(row: TaskRow) -> Result:
        started.append(row["n"])
        await go_on.wait()
        return {"reward": 0.0}

    async def look() -> None:
        while len(started) < 1000:
            seen.add(len(started))
            await asyncio.sleep(0)
        go_on.set()

    looking = asyncio.create_task(look())
    rows = ({"n": number} for number in range(1000))
    assert len([each async for each in run_each(rows, attempt, num_parallel=1000)]) == 1000
    await looking
    assert len(seen) > 1000 // STARTED_AT_ONCE // 2
