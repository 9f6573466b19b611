"""The benchmarks run, and their figures add up. No time is asserted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.http import HttpClient
from tests.benchmarks import __main__ as main_module
from tests.benchmarks.clients import ClientCost, Load, client_cost
from tests.benchmarks.fake_model import FakeModel, FakeModelSettings
from tests.benchmarks.floor import Hop, hops_of, measure_floor
from tests.benchmarks.imports import import_costs
from tests.benchmarks.local_server import local_server
from tests.benchmarks.process_stats import ProcessStat, process_tree
from tests.benchmarks.report import Report, Target
from tests.benchmarks.task_rows import task_row

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU time is read from /proc")

TOOL_OUTPUT = {"type": "function_call_output", "call_id": "call_0", "output": "3 degrees"}


async def test_the_fake_model_asks_for_as_many_tool_calls_as_it_is_told_and_then_answers() -> None:
    http = HttpClient()
    with local_server("tests.benchmarks.fake_model") as model:
        settings = FakeModelSettings(tool_calls=2)
        assert (await http.request("PUT", f"{model.url}/settings", json=settings)).ok
        kinds = []
        for outputs in range(4):
            request = {"input": [{"role": "user", "content": "hello"}, *[TOOL_OUTPUT] * outputs]}
            answer = await http.request("POST", f"{model.url}/v1/responses", json=request)
            kinds.append(Response.model_validate(answer.parse()).output[0].type)
        counts = (await http.request("GET", f"{model.url}/counts")).parse()
        await http.close()
    assert kinds == ["function_call", "function_call", "message", "message"]
    assert counts == {"requests": 4, "messages": 2, "waiting": 0, "most_waiting": 0}


def test_every_task_row_is_a_request_of_its_own() -> None:
    rows = [task_row(index) for index in range(20)]
    assert len({orjson.dumps(row) for row in rows}) == 20
    for row in rows:
        ResponseCreateParams.model_validate(row["responses_create_params"])


def test_the_hops_of_a_rollout_are_its_requests_with_their_sizes() -> None:
    row = task_row(0)
    model = FakeModel()
    model.configure(FakeModelSettings(tool_calls=1))
    items = []
    for outputs in range(2):
        request = orjson.dumps({"input": [TOOL_OUTPUT] * outputs})
        items += orjson.loads(model.answer(request).partition(b"\r\n\r\n")[2])["output"]
    call, message = items
    result = {**row, "turns": [{"output_items": 2}, {"output_items": 1}], "reward": 1.0}
    result["response"] = {"output": [call, TOOL_OUTPUT, message]}
    hops = hops_of(row, result)
    assert [hop.server for hop in hops].count("resources") == 3  # seed_session, one tool, verify
    assert [hop.server for hop in hops].count("model") == 2
    assert len(hops) == 8
    tool = hops[4]
    assert tool == Hop("resources", len(call["arguments"]), len(TOOL_OUTPUT["output"]))
    assert hops[5].request_bytes > hops[2].request_bytes  # the second model call carries the first one's outcome


def test_the_floor_counts_client_and_servers() -> None:
    floor = measure_floor([Hop("agent", 100, 200), Hop("model", 10, 20)], rollouts=20, warm_up=2, concurrency=4)
    assert floor.cpu_ms == floor.client_cpu_ms + floor.servers_cpu_ms
    assert floor.client_cpu_ms > 0


def test_a_process_tree_holds_children_after_their_parents() -> None:
    with local_server("tests.benchmarks.fake_model") as model:
        tree = process_tree(os.getpid())
        assert tree[0].pid == os.getpid()
        assert model.pid in {stat.pid for stat in tree[1:]}
    assert ProcessStat.read(model.pid) is None


def test_an_import_is_timed_in_a_process_of_its_own() -> None:
    costs = import_costs(["orjson", "json"], processes=2)
    assert [len(costs[module]) for module in ("orjson", "json")] == [2, 2]
    assert all(cost.seconds > 0 and cost.peak_rss_mb > 1 for cost in costs["orjson"])


@pytest.mark.parametrize("client", ["HttpClient", "aiohttp", "httpx"])
def test_a_client_is_measured_in_a_process_of_its_own(client: str) -> None:
    with local_server("tests.benchmarks.bare_server") as server:
        cost = client_cost(client, f"{server.url}/100", Load(at_once=4, open_connections=1), min_requests=8)
    assert isinstance(cost, ClientCost)
    assert cost.cpu_ms > 0


@pytest.mark.e2e
def test_the_figures_of_rollouts_add_up(tmp_path: Path) -> None:
    figures_path = tmp_path / "figures.json"
    options = [
        "--rollouts",
        "40",
        "--concurrency",
        "4",
        "--tool-calls",
        "0",
        "2",
        "--repeats",
        "1",
        "--json",
        str(figures_path),
    ]
    benchmark = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.rollouts", *options], capture_output=True, text=True
    )
    assert benchmark.returncode == 0, benchmark.stderr
    assert "rollouts/s" in benchmark.stdout
    costs = orjson.loads(figures_path.read_bytes())["costs"]
    assert [cost["load"]["tool_calls"] for cost in costs] == [0, 2]
    for cost in costs:
        processes = {"collector", "benchmark_simple_agent", "policy_model", "benchmark", "launcher"}
        assert set(cost["cpu_ms"]) == set(cost["peak_rss_mb"]) == processes
        assert cost["total_cpu_ms"] == pytest.approx(sum(cost["cpu_ms"].values()))
        # Beside them the agent asks its resources server once in ten seconds which routes it has.
        assert cost["requests"] == pytest.approx(3 * cost["load"]["tool_calls"] + 5, abs=0.1)


def test_every_command_on_the_performance_page_exists() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"^python -m (\S+)", page, re.MULTILINE))
    assert modules == {f"tests.benchmarks.{name}" for name in main_module.BENCHMARKS}


def test_benchmarks_are_run_by_name_and_their_targets_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Report:
        raise RuntimeError("no server started\nand more")

    met = Report(("a table",), (Target("speed", "1 s", "0.5 s", met=True),))
    monkeypatch.setattr(main_module, "BENCHMARKS", {"quick": lambda: met, "broken": broken, "never": broken})
    assert main_module.main(["quick"]) == 0
    table, _, targets = capsys.readouterr().out.partition("== targets: ")
    assert "a table" in table and "| speed " in targets and "met" in targets
    assert main_module.main(["quick", "broken"]) == 1
    assert "MISSED" in capsys.readouterr().out
    assert main_module.main(["slow"]) == 2
    assert "no benchmark `slow`; there are quick, broken, never" in capsys.readouterr().err
