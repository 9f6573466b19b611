"""`run_examples` as trainers use it: a plain call inside their loop, rows awaited as they finish, failures that carry
a status, and nothing left running when they lose interest."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.errors import DataError, NemoGymError, RequestError, RolloutError
from nemo_gym.rollouts.collection_config import RolloutCollectionConfig
from nemo_gym.rollouts.collection_helper import RolloutCollectionHelper
from nemo_gym.serving.http import HttpClient
from tests.rollouts.test_running import row, seen, told_to_cancel

HELPER = RolloutCollectionHelper()


@pytest.fixture
async def head(agent_url: str, http: HttpClient) -> BaseServerConfig:
    """Of a run whose only agent is the tiny one."""
    await http.request("POST", agent_url + "/set", json={"broken_metrics": False, "num_agents": 1})
    return BaseServerConfig(host="127.0.0.1", port=int(agent_url.rpartition(":")[2]))


async def test_rows_are_awaited_in_order_of_completion_and_come_back_as_they_were(head: BaseServerConfig) -> None:
    rows = [row(0, delay_s=0.4, _rowidx=10), row(1, delay_s=0.2, _rowidx=11), row(2, _rowidx=12)]
    came = []
    for awaitable in HELPER.run_examples(rows, head_server_config=head):
        given, result = await awaitable
        assert any(given is one for one in rows)
        assert given["_rowidx"] == result["_rowidx"]
        came.append(given["_rowidx"])
    assert came == [12, 11, 10]


async def test_all_awaitables_may_be_taken_first_and_awaited_together(head: BaseServerConfig) -> None:
    rows = [row(task, delay_s=0.05) for task in range(20)]
    finished = await asyncio.gather(*list(HELPER.run_examples(rows, head_server_config=head)))
    assert sorted(given["_ng_task_index"] for given, _ in finished) == list(range(20))


async def test_the_same_row_twice_is_two_rollouts(head: BaseServerConfig) -> None:
    one = row(3, _ng_rollout_id="used-before")
    finished = [await each for each in HELPER.run_examples([one, one], head_server_config=head)]
    assert all(given is one for given, _ in finished)
    assert len({result["_ng_rollout_id"] for _, result in finished} | {"used-before"}) == 3
    assert one["_ng_rollout_id"] == "used-before"


async def test_a_row_without_agent_goes_to_the_only_one(head: BaseServerConfig) -> None:
    rows = [{key: value for key, value in row(4).items() if key != "agent_ref"}]
    [(given, result)] = [await each for each in HELPER.run_examples(rows, head_server_config=head)]
    assert result["agent_ref"] == {"type": "responses_api_agents", "name": "tiny_agent"}
    assert given is rows[0] and "agent_ref" not in given


@pytest.mark.parametrize(
    ("behaviour", "failure_class", "status"),
    [
        ("fail", "model_error", 502),
        ("fail_terminal", "context_overflow", 400),
        ("status_500", "agent_error", 502),
        ("status_422", "bad_row", 422),
        ("garbage", "agent_error", 502),
        ("nan_reward", "agent_error", 502),
    ],
)
async def test_a_failed_rollout_raises_with_status_and_row_and_stops_no_other(
    head: BaseServerConfig, behaviour: str, failure_class: str, status: int
) -> None:
    rows = [row(0, behaviour=behaviour, _rowidx=7), row(1), row(2)]
    completed, failed = [], []
    for awaitable in HELPER.run_examples(rows, head_server_config=head):
        try:
            completed.append((await awaitable)[0]["_ng_task_index"])
        except RolloutError as error:
            failed.append(error)
    assert sorted(completed) == [1, 2]
    [error] = failed
    assert (error.failure_class, error.status) == (failure_class, status)
    assert error.row is rows[0] and "reward" not in error.result
    assert (failure_class in str(error) and "tiny_agent" in str(error)) or "policy_model" in str(error)


async def test_a_row_that_failed_can_be_sent_again(head: BaseServerConfig) -> None:
    rows = [row(0, behaviour="fail_first", _rowidx=1)]
    with pytest.raises(RolloutError) as caught:
        [await each for each in HELPER.run_examples(rows, head_server_config=head)]
    again = [caught.value.row | {"_ng_attempt_index": 1}]
    [(given, result)] = [await each for each in HELPER.run_examples(again, head_server_config=head)]
    assert given["_rowidx"] == 1 and "reward" in result


async def test_a_failure_is_returned_without_reward_and_masked_where_that_is_asked_for(head: BaseServerConfig) -> None:
    rows = [row(0, behaviour="fail", instance_config={"name": "x"})]
    iterator = HELPER.run_examples(rows, head_server_config=head, on_failure="return")
    [(given, result)] = [await each for each in iterator]
    assert given is rows[0]
    assert result["_ng_failure_class"] == "model_error" and "reward" not in result
    assert result["instance_config"] == {"name": "x", "mask_sample": True}
    assert rows[0]["instance_config"] == {"name": "x"}


async def test_a_rollout_that_takes_too_long_raises(head: BaseServerConfig) -> None:
    [awaitable] = HELPER.run_examples([row(0, behaviour="hang")], head_server_config=head, timeout_s=0.1)
    with pytest.raises(RolloutError, match="timeout") as caught:
        await awaitable
    assert caught.value.status == 504


async def test_every_awaitable_raises_when_no_head_server_answers() -> None:
    nobody = BaseServerConfig(host="127.0.0.1", port=9)
    for awaitable in HELPER.run_examples([row(0), row(1)], head_server_config=nobody):
        with pytest.raises(RequestError, match="cannot connect"):
            await awaitable


async def test_a_row_of_an_agent_that_does_not_run_is_refused_before_anything_is_sent(
    head: BaseServerConfig, http: HttpClient, agent_url: str
) -> None:
    for awaitable in HELPER.run_examples([row(0), row(1, agent="tinny_agent")], head_server_config=head):
        with pytest.raises(DataError, match=r"examples:1: .*did you mean `tiny_agent`\?"):
            await awaitable
    assert (await seen(http, agent_url))["started"] == []


async def test_no_rows_are_no_awaitables(head: BaseServerConfig) -> None:
    assert list(HELPER.run_examples([], head_server_config=head)) == []


async def test_a_bound_and_a_shared_semaphore_are_kept(
    head: BaseServerConfig, http: HttpClient, agent_url: str
) -> None:
    async def call(**bounds: Any) -> None:
        rows = [row(task, delay_s=0.02) for task in range(8)]
        for awaitable in HELPER.run_examples(rows, head_server_config=head, **bounds):
            await awaitable

    await call(num_parallel=3)
    assert (await seen(http, agent_url))["most_running"] == 3
    await http.request("POST", agent_url + "/set", json={})
    shared = asyncio.Semaphore(4)
    await asyncio.gather(*(call(semaphore=shared) for _ in range(3)))
    assert (await seen(http, agent_url))["most_running"] == 4


async def test_calls_overlap_in_one_loop(head: BaseServerConfig) -> None:
    async def call(first: int) -> list[int]:
        rows = [row(task, delay_s=0.01) for task in range(first, first + 10)]
        awaitables = HELPER.run_examples(rows, head_server_config=head)
        return sorted([(await each)[0]["_ng_task_index"] for each in awaitables])

    assert await asyncio.gather(*map(call, range(0, 100, 10))) == [list(range(n, n + 10)) for n in range(0, 100, 10)]


async def test_calls_work_in_loops_of_other_threads(head: BaseServerConfig) -> None:
    rewards: list[float] = []

    async def call() -> None:
        for awaitable in HELPER.run_examples([row(1), row(3)], head_server_config=head):
            rewards.append((await awaitable)[1]["reward"])

    threads = [threading.Thread(target=lambda: asyncio.run(call())) for _ in range(3)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert rewards == [1.0] * 6


async def test_leaving_the_loop_cancels_what_still_runs(
    head: BaseServerConfig, http: HttpClient, agent_url: str
) -> None:
    rows = [row(0), row(1, behaviour="hang"), row(2, behaviour="hang")]
    for awaitable in HELPER.run_examples(rows, head_server_config=head):
        await awaitable
        break
    assert await told_to_cancel(http, agent_url, [1, 2])


async def test_an_exception_in_the_loop_cancels_what_still_runs(
    head: BaseServerConfig, http: HttpClient, agent_url: str
) -> None:
    async def step() -> None:
        rows = [row(0, behaviour="fail"), row(1, behaviour="hang")]
        for awaitable in HELPER.run_examples(rows, head_server_config=head):
            await awaitable

    with pytest.raises(RolloutError):
        await step()
    gc.collect()  # the traceback that pytest keeps holds the frame, and that the iterator
    assert await told_to_cancel(http, agent_url, [1])


async def test_an_awaitable_of_a_closed_iterator_raises_instead_of_waiting(head: BaseServerConfig) -> None:
    iterator = HELPER.run_examples([row(0, behaviour="hang"), row(1, behaviour="hang")], head_server_config=head)
    awaitable = next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    with pytest.raises(RolloutError, match="cancelled") as caught:
        await awaitable
    assert caught.value.status == 499


async def test_a_cancelled_wait_loses_no_result(head: BaseServerConfig) -> None:
    first, second = HELPER.run_examples([row(0, delay_s=0.2), row(1, delay_s=0.3)], head_server_config=head)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first, 0.01)
    assert (await second)[0]["_ng_task_index"] == 0


async def test_an_unknown_way_with_failures_is_refused_at_once(head: BaseServerConfig) -> None:
    with pytest.raises((ValueError, NemoGymError), match="on_failure"):
        HELPER.run_examples([row(0)], head_server_config=head, on_failure="mask")  # type: ignore[arg-type]


def call_items(kept: int) -> list[dict[str, Any]]:
    """Two model calls, the second prompt in the short form; the first call has five ids."""
    sampled = {"generation_token_ids": [4, 5], "generation_log_probs": [-0.5, -0.25]}
    short = {"prompt_token_ids_kept": kept, "prompt_token_ids_added": [6], "policy_version": 3}
    return [
        {"type": "message", "content": "a", "prompt_token_ids": [1, 2, 3], **sampled},
        {"role": "user", "content": "b"},
        {"type": "message", "content": "c", **short, **sampled},
    ]


async def test_prompts_that_agents_put_short_are_whole(head: BaseServerConfig) -> None:
    rows = [row(0, items=call_items(kept=5)), row(1, items=call_items(kept=2))]
    finished = [await each for each in HELPER.run_examples(rows, head_server_config=head)]
    prompts = {
        given["_ng_task_index"]: [item.get("prompt_token_ids") for item in result["response"]["output"]]
        for given, result in finished
    }
    assert prompts == {0: [[1, 2, 3], None, [1, 2, 3, 4, 5, 6]], 1: [[1, 2, 3], None, [1, 2, 6]]}
    for _, result in finished:
        last = result["response"]["output"][-1]
        assert last.keys() & {"prompt_token_ids_kept", "prompt_token_ids_added"} == set()
        assert (last["generation_token_ids"], last["policy_version"]) == ([4, 5], 3)


async def test_a_prompt_that_keeps_more_than_there_was_fails_its_row_only(head: BaseServerConfig) -> None:
    rows = [row(0, items=call_items(kept=6)), row(1)]
    completed, failed = [], []
    for awaitable in HELPER.run_examples(rows, head_server_config=head):
        try:
            completed.append((await awaitable)[0]["_ng_task_index"])
        except RolloutError as error:
            failed.append(error)
    assert completed == [1]
    [error] = failed
    assert (error.failure_class, error.row) == ("agent_error", rows[0])
    assert "`prompt_token_ids_kept` is 6" in str(error) and "tiny_agent" in str(error)


@pytest.mark.parametrize("whole", [False, True])
async def test_files_hold_prompts_as_short_as_agents_put_them_unless_asked_otherwise(
    head: BaseServerConfig, tmp_path: Path, whole: bool
) -> None:
    tasks, results = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    tasks.write_bytes(orjson.dumps({"responses_create_params": {"input": "hi"}, "items": call_items(kept=5)}))
    config = RolloutCollectionConfig(
        input_jsonl_fpath=str(tasks),
        output_jsonl_fpath=str(results),
        whole_prompt_token_ids=whole,
        head_server={"host": head.host, "port": head.port},
    )
    await HELPER.run_from_config(config)
    last = orjson.loads(results.read_bytes())["response"]["output"][-1]
    assert last.get("prompt_token_ids") == ([1, 2, 3, 4, 5, 6] if whole else None)
    assert last.get("prompt_token_ids_kept") == (None if whole else 5)


async def test_a_file_is_collected_as_by_the_command(head: BaseServerConfig, tmp_path: Path) -> None:
    tasks, results = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    tasks.write_text('{"responses_create_params": {"input": "hi"}}\n' * 3)
    config = RolloutCollectionConfig(
        agent_name="tiny_agent",
        input_jsonl_fpath=str(tasks),
        output_jsonl_fpath=str(results),
        num_repeats=2,
        limit=2,
        num_samples_in_parallel=3,
        head_server={"host": head.host, "port": head.port},
    )
    collected = await HELPER.run_from_config(config)
    assert (collected.tally.completed, collected.tally.num_failed) == (4, 0)
    assert len(results.read_text().splitlines()) == 4
    assert collected.metrics.entries[0].agent_metrics["own/number"] == 4
