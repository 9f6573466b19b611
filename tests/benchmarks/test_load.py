"""The benchmarks of load run in a short form, and what they count is right. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.collecting import Collection, collected
from tests.benchmarks.endpoints import BARE, OURS, UNCHECKED, measure_endpoints
from tests.benchmarks.fake_agent import AGENT
from tests.benchmarks.idle_gaps import around, between, measure_gaps
from tests.benchmarks.in_flight import Level, flight_table, fly, wall_table
from tests.benchmarks.local_server import local_server
from tests.benchmarks.memory import MemoryPeak, collector_memory, memory_table, targets
from tests.benchmarks.report import Target, target_table
from tests.benchmarks.sessions import measure_sessions

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="memory and files are read from /proc")


def test_a_collection_tells_what_it_took(tmp_path: Path) -> None:
    with local_server("tests.benchmarks.fake_agent") as agent:
        outcome = collected(Collection(agent.url, str(tmp_path), AGENT, 40, concurrency=8, repeats=4))
    assert (outcome.completed, outcome.failed) == (40, {})
    assert 0 < outcome.wall_s <= outcome.total_s
    assert 1 <= len(outcome.connects_ms) <= 9  # at most one per rollout in flight, and one to the head server
    assert outcome.connect_ms(0.5) <= outcome.connect_ms(1.0) == outcome.connects_ms[-1]
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 40


def test_a_collectors_memory_is_measured_by_the_number_of_rollouts() -> None:
    peaks = [collector_memory(rollouts) for rollouts in (10, 20)]
    assert all(10 < peak.peak_mb["collector"] < 1000 for peak in peaks)
    assert memory_table(peaks).count("\n") == 3


def test_memory_that_grows_with_the_rollouts_misses_its_target() -> None:
    flat = [MemoryPeak(rollouts, {"collector": 50.0, "agent": 55.0}, 1.0, 1.0) for rollouts in (10, 20)]
    grown = [MemoryPeak(rollouts, {"collector": 50.0 + rollouts, "agent": 70.0}, 1.0, 1.0) for rollouts in (10, 100)]
    assert [target.met for target in targets(flat, flat)] == [True, True, True]
    assert [target.met for target in targets(grown, grown)] == [False, True, False]


async def test_requests_after_gaps_are_counted_and_none_fails() -> None:
    found = await measure_gaps(1, 10, [[1.2, 0.01]] * 10)
    assert (found.requests, found.errors) == (30, {})
    assert found.connections == 20  # the server closed each after its first gap


def test_gaps_are_as_long_as_asked_for() -> None:
    assert all(4.98 <= gap <= 5.01 for gaps in around(5, clients=3, times=4) for gap in gaps)
    for gaps in between(1, 60, clients=5, seconds=100):
        assert all(1 <= gap <= 60 for gap in gaps) and sum(gaps) >= 100 > sum(gaps[:-1])


@pytest.mark.e2e
def test_every_session_of_several_workers_is_served_by_one() -> None:
    found = measure_sessions(workers=3, sessions=300)
    assert (found.misrouted, found.left, sum(found.by_worker)) == (0, 0, 300)
    assert found.imbalance < 0.5


@pytest.mark.e2e
def test_all_rollouts_in_flight_succeed() -> None:
    flights = fly([Level(concurrency=60, rollouts=120, tool_calls=0, latency_s=0.5)])
    [flight] = flights
    assert (flight.outcome.completed, flight.outcome.failed) == (120, {})
    assert flight.most_at_model > 30
    assert flight.level.ideal_s == 1.0
    assert flight.most_files[1] > 20
    assert "120" in flight_table(flights) and "120" in wall_table(flights)


@pytest.mark.e2e
def test_endpoints_are_compared_with_bare_fastapi() -> None:
    found = measure_endpoints(turns=1, seconds=0.3)
    assert {server for server, _ in found.speeds} == {OURS, BARE, UNCHECKED}
    assert all(speed.requests_per_s > 0 for speed in found.speeds.values())
    assert 20 < found.idle_mb < 500


def test_a_missed_target_says_so() -> None:
    table = target_table([Target("a", "1", "2", met=False, note="why"), Target("b", "1", "1", met=True)])
    assert "MISSED |" in table.splitlines()[2] and "why" in table and "met |" in table.splitlines()[3]
