"""A whole collection against a real agent: its files, its metrics, and how the sums add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.errors import DataError
from nemo_gym.metrics.aggregate import aggregate_metrics
from nemo_gym.rollouts.collection import Collected, CollectionOptions, collect
from nemo_gym.rollouts.plan import PlanOptions
from nemo_gym.rollouts.running import Stop
from nemo_gym.rollouts.tally import Tally
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.server_client import ServerClient

WriteRows = Callable[[list[dict[str, Any]]], Path]


def options(tasks: Path, *, num_repeats: int = 1, agent: str | None = "tiny_agent", **more: Any) -> CollectionOptions:
    return CollectionOptions(
        input_path=tasks,
        output_path=tasks.with_name("out.jsonl"),
        plan=PlanOptions(agent_name=agent, num_repeats=num_repeats),
        **more,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def adds_up(collected: Collected) -> bool:
    """Whether the tally is what the files hold, and holds every rollout that was asked for."""
    files, tally = collected.files, collected.tally
    in_files = (len(lines(files.results)), len(lines(files.failures)))
    asked = len(lines(files.inputs))
    return (tally.completed, tally.num_failed) == in_files and sum(in_files) + tally.not_run == asked == tally.requested


async def test_every_rollout_asked_for_has_a_result(client: ServerClient, write_rows: WriteRows) -> None:
    collected = await collect(client, options(write_rows([{"truth": n} for n in range(5)]), num_repeats=3))
    results = lines(collected.files.results)
    assert sorted((r["_ng_task_index"], r["_ng_rollout_index"]) for r in results) == [
        (task, rollout) for task in range(5) for rollout in range(3)
    ]
    assert all(r["truth"] == r["_ng_task_index"] for r in results)
    assert all(r["reward"] == (r["_ng_task_index"] + r["_ng_rollout_index"]) % 2 for r in results)
    assert all(r["agent_ref"] == {"type": "responses_api_agents", "name": "tiny_agent"} for r in results)
    assert str(collected.tally) == "requested 15 = completed 15 + failed 0"
    assert adds_up(collected)


async def test_the_agent_is_asked_for_metrics_of_shortened_results(
    client: ServerClient, http: HttpClient, agent_url: str, write_rows: WriteRows
) -> None:
    collected = await collect(client, options(write_rows([{}, {}]), num_repeats=2))
    (entry,) = orjson.loads(collected.files.metrics.read_bytes())
    assert entry == {
        "agent_ref": {"type": "responses_api_agents", "name": "tiny_agent"},
        "agent_metrics": {"mean/reward": 0.5, "own/number": 4},
        "key_metrics": {"mean/reward": 0.5, "own/number": 4},
        "group_level_metrics": [],
    }
    assert collected.metrics.notes == []
    sent = (await http.request("GET", agent_url + "/seen")).parse()["aggregated"]
    assert all("responses_create_params" not in answer and "turns" not in answer for answer in sent)
    assert all(set(answer["response"]) == {"id", "usage"} for answer in sent)


async def test_default_metrics_are_computed_without_sending_anything_to_the_agent(
    client: ServerClient, http: HttpClient, agent_url: str, write_rows: WriteRows
) -> None:
    await http.request("POST", agent_url + "/set", json={"metrics_mode": "default"})
    rows = [{"agent_ref": {"name": "other_agent"}}, {}, {}]
    collected = await collect(client, options(write_rows(rows), num_repeats=2))
    assert (await http.request("GET", agent_url + "/seen")).parse()["aggregated"] == []
    assert collected.metrics.notes == []
    results = [orjson.loads(line) for line in collected.files.results.read_bytes().splitlines()]
    written = orjson.loads(collected.files.metrics.read_bytes())
    assert [entry["agent_ref"]["name"] for entry in written] == ["other_agent", "tiny_agent"]
    for entry in written:
        own = [result for result in results if result["agent_ref"] == entry["agent_ref"]]
        expected = aggregate_metrics(own)
        assert entry["agent_metrics"] == expected.agent_metrics
        assert entry["key_metrics"] == expected.key_metrics
        assert entry["group_level_metrics"] == expected.group_level_metrics
    assert [group["_ng_task_index"] for group in written[1]["group_level_metrics"]] == [1, 2]


async def test_metrics_of_a_collection_without_results_are_an_empty_list(
    client: ServerClient, write_rows: WriteRows
) -> None:
    collected = await collect(client, options(write_rows([{"behaviour": "fail"}])))
    assert orjson.loads(collected.files.metrics.read_bytes()) == []


async def test_an_agent_that_cannot_be_asked_is_named_beside_its_default_metrics(
    client: ServerClient, write_rows: WriteRows
) -> None:
    tasks = write_rows([{}])
    await collect(client, options(tasks))
    gone = ServerClient({**client.directory, "tiny_agent": client.directory["dead_agent"]}, client.http)
    again = await collect(gone, options(tasks, resume=True))
    assert "`tiny_agent` gave no metrics of its own" in again.metrics.notes[0]
    assert again.metrics.entries[0].agent_metrics["mean/reward"] == 0.0


async def test_default_metrics_stand_in_where_the_agent_gives_none(
    client: ServerClient, http: HttpClient, agent_url: str, write_rows: WriteRows
) -> None:
    await http.request("POST", agent_url + "/set", json={"broken_metrics": True})
    collected = await collect(client, options(write_rows([{}, {}]), num_repeats=2))
    (entry,) = orjson.loads(collected.files.metrics.read_bytes())
    assert entry["agent_metrics"]["pass@2/reward"] == 100.0
    assert entry["agent_metrics"]["mean/usage/input_tokens"] == 5.0
    assert len(entry["group_level_metrics"]) == 2
    assert "`tiny_agent` gave no metrics of its own" in collected.metrics.notes[0]


async def test_each_agent_has_metrics_of_its_own_rollouts(client: ServerClient, write_rows: WriteRows) -> None:
    tasks = write_rows([{"agent_ref": {"name": "other_agent"}, "reward": 1.0}, {"reward": 0.0}, {"reward": 0.0}])
    await collect(client, options(tasks))
    entries = orjson.loads(tasks.with_name("out_aggregate_metrics.json").read_bytes())
    assert {entry["agent_ref"]["name"]: entry["key_metrics"]["own/number"] for entry in entries} == {
        "other_agent": 1,
        "tiny_agent": 2,
    }


async def test_failures_are_typed_kept_apart_and_never_a_reward(client: ServerClient, write_rows: WriteRows) -> None:
    rows = [
        {"behaviour": "fail"},
        {"behaviour": "status_500"},
        {"reward": 1.0},
        {"behaviour": "hang"},
        {"agent_ref": {"name": "dead_agent"}},
        {"behaviour": "fail_terminal"},
    ]
    collected = await collect(client, options(write_rows(rows), rollout_timeout_s=1.0))
    failures = {line["_ng_task_index"]: line for line in lines(collected.files.failures)}
    assert {task: line["_ng_failure_class"] for task, line in failures.items()} == {
        0: "model_error",
        1: "agent_error",
        3: "timeout",
        4: "unreachable",
        5: "context_overflow",
    }
    assert all("reward" not in line and line["_ng_failure"]["message"] for line in failures.values())
    assert collected.tally.mean_reward == 1.0
    assert adds_up(collected)


async def test_resuming_tries_failed_rollouts_again_and_leaves_the_others(
    client: ServerClient, http: HttpClient, agent_url: str, write_rows: WriteRows
) -> None:
    tasks = write_rows([{"behaviour": "fail_first"}, {}, {"behaviour": "fail_terminal"}])
    first = await collect(client, options(tasks))
    assert (first.tally.completed, first.tally.num_failed) == (1, 2)
    await http.request("POST", agent_url + "/set", json={})
    again = await collect(client, options(tasks, resume=True))
    assert (await http.request("GET", agent_url + "/seen")).parse()["started"] == [[0, 0, 1]]
    assert str(again.tally) == "requested 3 = completed 2 + failed 1 (context_overflow 1)"
    assert adds_up(again)


async def test_resuming_a_finished_collection_changes_no_result(client: ServerClient, write_rows: WriteRows) -> None:
    tasks = write_rows([{}, {}])
    before = (await collect(client, options(tasks))).files.results.read_bytes()
    again = await collect(client, options(tasks, resume=True))
    assert again.files.results.read_bytes() == before
    assert again.files.metrics.exists()


async def test_bad_rows_are_told_before_anything_runs(
    client: ServerClient, http: HttpClient, agent_url: str, write_rows: WriteRows
) -> None:
    tasks = write_rows([{}, {"responses_create_params": {}}, {"responses_create_params": 3}])
    with pytest.raises(DataError, match=r"2 bad rows, nothing was run\n  line 2: .*\n  line 3: "):
        await collect(client, options(tasks))
    assert (await http.request("GET", agent_url + "/seen")).parse()["started"] == []
    assert not list(tasks.parent.glob("*.tmp"))
    assert not tasks.with_name("out_run.json").exists()


async def test_a_stopped_collection_writes_metrics_and_resumes_where_it_stopped(
    client: ServerClient, write_rows: WriteRows
) -> None:
    stop = Stop()
    tasks = write_rows([{"delay_s": 0.02} for _ in range(50)])

    def stop_at_ten(tally: Tally) -> None:
        if tally.completed == 10:
            stop.ask(grace_s=30)

    stopped = await collect(client, options(tasks, num_parallel=4), stop=stop, on_progress=stop_at_ten)
    assert stopped.interrupted
    assert 10 <= stopped.tally.completed < 50
    assert stopped.files.metrics.exists()
    assert adds_up(stopped)
    resumed = await collect(client, options(tasks, num_parallel=4, resume=True))
    assert resumed.tally.completed == 50
    assert adds_up(resumed)
