"""What the progress display and the summary say."""

from __future__ import annotations

import io
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from nemo_gym.rollouts import progress
from nemo_gym.rollouts.agent_metrics import AgentMetrics, CollectedMetrics
from nemo_gym.rollouts.collection import Collected
from nemo_gym.rollouts.failures import failure_examples, told
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.progress import ALARMING_FAILURES, ProgressDisplay
from nemo_gym.rollouts.summary import print_summary
from nemo_gym.rollouts.tally import Tally


def tally() -> Tally:
    stands = Tally(20, completed=10, reward_sum=7.5)
    stands.failed.update(["timeout", "model_error", "model_error"])
    return stands


def test_the_tally_adds_up_and_names_the_failures() -> None:
    assert str(tally()) == "requested 20 = completed 10 + failed 3 (model_error 2, timeout 1) + not run 7"
    assert str(Tally(2, completed=2)) == "requested 2 = completed 2 + failed 0"
    assert Tally(2).mean_reward is None


def test_the_line_tells_count_speed_reward_failures_and_time_left() -> None:
    display = ProgressDisplay(Console(file=io.StringIO()))
    assert display.line() == "reading the task file"
    stands = Tally(20)
    display.update(stands)
    stands.completed, stands.reward_sum = 10, 7.5
    stands.failed.update(["timeout"])
    count, speed, reward, failed, left = display.line().split(" · ")
    assert (count, reward, failed) == ("11/20", "mean reward 0.750", "failed timeout 1")
    assert speed.endswith("/s")
    assert left.endswith(" left")


def test_many_failures_in_a_row_are_told_of_at_once_and_once() -> None:
    written = io.StringIO()
    display, stands = ProgressDisplay(Console(file=written)), Tally(100, last_failure="model_error of task 7: it broke")
    display.update(stands)
    for stands.failed_in_a_row in range(1, ALARMING_FAILURES + 20):
        said = written.getvalue()
        display.update(stands)
        assert (written.getvalue() != said) == (stands.failed_in_a_row == ALARMING_FAILURES)
    notice = "10 rollouts in a row have failed, the last with model_error of task 7: it broke\n"
    assert written.getvalue() == notice


def test_a_failure_is_told_in_one_line_of_bounded_length() -> None:
    failure = {"stage": "model", "server": "policy_model", "message": "it\n broke " * 100}
    line = told({"_ng_task_index": 7, "_ng_failure": failure})
    assert line.startswith("task 7 (stage model, server policy_model): it broke it broke")
    assert len(line) < 400 and line.endswith("…") and "\n" not in line
    assert told({}) == "task ?: "


def test_rollouts_of_an_earlier_run_do_not_count_for_the_speed() -> None:
    display = ProgressDisplay(Console(file=io.StringIO()))
    display.update(Tally(20, completed=10))
    assert "· 0.0/s" in display.line()
    assert "left" not in display.line()


def test_a_rollout_that_runs_for_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ongoing = Ongoing()
    display = ProgressDisplay(Console(file=io.StringIO()), ongoing)
    display.update(tally())
    with ongoing.rollout({"_ng_task_index": 7, "_ng_rollout_index": 2}):
        assert "task 7" not in display.line()
        monkeypatch.setattr(progress, "OLD_S", -1.0)
        assert display.line().endswith(" · task 7, rollout 2 runs for 0:00")
    assert "task 7" not in display.line()


def test_off_a_terminal_the_last_line_is_printed_plainly() -> None:
    written = io.StringIO()
    with ProgressDisplay(Console(file=written)) as display:
        display.update(tally())
    assert written.getvalue().startswith("13/20 · ")
    assert "\x1b" not in written.getvalue()


def test_on_a_terminal_a_bar_is_drawn() -> None:
    written = io.StringIO()
    with ProgressDisplay(Console(file=written, force_terminal=True, width=120)) as display:
        display.update(tally())
    assert "━" in written.getvalue()
    assert "mean reward 0.750" in written.getvalue()


def test_the_summary_shows_metrics_failures_sum_and_files(tmp_path: Path) -> None:
    files = CollectionFiles(tmp_path / "out.jsonl")
    lines = [
        {"_ng_failure_class": name, "_ng_failure": {"stage": "model", "server": "policy_model", "message": "it\nbroke"}}
        for name in ("model_error", "model_error", "timeout")
    ]
    files.failures.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    entry = AgentMetrics(
        agent_ref={"name": "tiny_agent"},
        agent_metrics={},
        key_metrics={"mean/reward": 0.75, "pass@1[avg-of-2]/reward": 75.0},
    )
    written = io.StringIO()
    collected = Collected(files, tally(), CollectedMetrics([entry], ["a note"]), interrupted=False)
    print_summary(collected, Console(file=written, width=120))
    shown = written.getvalue()
    for part in ("tiny_agent", "mean/reward", "pass@1[avg-of-2]/reward", "a note", "it broke", str(tally())):
        assert part in shown
    assert str(files.results) in shown
    assert "failed   2 model_error, as in task ? (stage model, server policy_model): it broke" in shown
    assert [(each.failure_class, each.count) for each in failure_examples(files.failures)] == [
        ("model_error", 2),
        ("timeout", 1),
    ]


def test_a_collection_that_is_refused_before_it_begins_leaves_no_bar_behind() -> None:
    written = io.StringIO()
    with ProgressDisplay(Console(file=written, force_terminal=True, width=120)):
        pass
    after_last_erasure = written.getvalue().rpartition("\x1b[2K")[2]
    assert "reading the task file" not in after_last_erasure
