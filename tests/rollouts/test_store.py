"""The store: what counts as done, what is tried again, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.errors import DataError
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.plan import PlanOptions, write_plan
from nemo_gym.rollouts.record import CollectionRecord
from nemo_gym.rollouts.store import RolloutStore

OpenStore = Callable[..., RolloutStore]


@pytest.fixture
def files(tmp_path: Path) -> CollectionFiles:
    return CollectionFiles(tmp_path / "out.jsonl")


@pytest.fixture
def open_store(tmp_path: Path, files: CollectionFiles) -> OpenStore:
    """Opens the store of a collection of two tasks, two rollouts each."""
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_bytes(b'{"responses_create_params":{"input":"hi"}}\n' * 2)

    def open_it(resume: bool = False, overwrite: bool = False, max_attempts: int = 3, **options: Any) -> RolloutStore:
        store = RolloutStore(files, resume=resume, overwrite=overwrite, max_attempts=max_attempts)
        try:
            asked = PlanOptions(**{"agent_name": "agent", "num_repeats": 2} | options)
            draft = write_plan(tasks, tmp_path / "draft.jsonl", asked, ["agent"])
            store.start(draft, CollectionRecord.of(draft, asked))
        except DataError:
            store.close()
            raise
        return store

    return open_it


def failure(kind: str = "model_error", **more: Any) -> dict[str, Any]:
    return {"_ng_failure_class": kind, "_ng_failure_terminal": False, "_ng_failure": {"message": "m"}, **more}


def to_run(store: RolloutStore) -> list[tuple[int, int, int]]:
    """(task, rollout, attempt) of what is left."""
    keys = ("_ng_task_index", "_ng_rollout_index", "_ng_attempt_index")
    return [tuple(row[key] for key in keys) for row in store.rows_to_run()]  # type: ignore[misc]


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_what_has_a_result_does_not_run_again(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        assert len(to_run(store)) == 4
        store.add(list(store.rows_to_run())[2], {"reward": 0.25, "x": 1})
    with open_store(resume=True) as store:
        assert to_run(store) == [(0, 0, 0), (0, 1, 0), (1, 1, 0)]
        assert (store.tally.completed, store.tally.mean_reward, store.tally.not_run) == (1, 0.25, 3)
    assert lines(files.results) == [{"_ng_task_index": 1, "_ng_rollout_index": 0, "reward": 0.25, "x": 1}]


def test_results_are_read_by_task_whatever_order_they_came_in(open_store: OpenStore) -> None:
    with open_store() as store:
        rows = list(store.rows_to_run())
        for place in (3, 0, 2):
            store.add(rows[place], {"reward": place})
        expected = [[0.0], [2.0, 3.0]]
        assert [[orjson.loads(line)["reward"] for line in lines] for lines in store.tasks()] == expected
    with open_store(resume=True) as store:
        assert [[orjson.loads(line)["reward"] for line in lines] for lines in store.tasks()] == expected


def test_failures_are_tried_again_until_the_bound_over_all_runs(open_store: OpenStore, files: CollectionFiles) -> None:
    for attempt in range(3):
        with open_store(resume=attempt > 0) as store:
            assert to_run(store)[0] == (0, 0, attempt)
            store.add(next(store.rows_to_run()), failure())
    with open_store(resume=True) as store:
        assert to_run(store)[0] == (0, 1, 0)
        assert str(store.tally) == "requested 4 = completed 0 + failed 1 (model_error 1) + not run 3"
    with open_store(resume=True, max_attempts=4) as store:
        assert to_run(store)[0] == (0, 0, 3)
    assert [line["_ng_attempt_index"] for line in lines(files.failures)] == [2]


def test_terminal_failures_are_not_tried_again(open_store: OpenStore) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), failure("bad_row", _ng_failure_terminal=True))
    with open_store(resume=True) as store:
        assert to_run(store)[0] == (0, 1, 0)


def test_a_failure_is_forgotten_once_its_rollout_has_a_result(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        first, second, *_ = store.rows_to_run()
        store.add(first, failure())
        store.add(second, failure("timeout"))
        store.add(first, {"reward": 1.0})
        assert str(store.tally) == "requested 4 = completed 1 + failed 1 (timeout 1) + not run 2"
    assert [line["_ng_failure_class"] for line in lines(files.failures)] == ["timeout"]
    with open_store(resume=True) as store:
        assert store.tally.failures_text() == "timeout 1"


def test_a_stale_failure_left_by_a_killed_run_is_not_counted(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        row = next(store.rows_to_run())
        store.add(row, failure())
    stale = files.failures.read_bytes()
    with open_store(resume=True) as store:
        store.add(row, {"reward": 1.0})
    files.failures.write_bytes(stale)  # as if killed before the failures file was cleaned
    with open_store(resume=True) as store:
        assert (store.tally.completed, store.tally.num_failed) == (1, 0)
    assert files.failures.read_bytes() == b""


def test_a_failure_that_asks_not_to_be_kept_counts_now_but_costs_no_attempt(open_store: OpenStore) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), failure(_ng_no_persist=True))
        assert store.tally.num_failed == 1
    with open_store(resume=True) as store:
        assert store.tally.num_failed == 0
        assert to_run(store)[0] == (0, 0, 0)


def test_results_that_exist_are_neither_overwritten_nor_continued_unasked(open_store: OpenStore) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    with pytest.raises(DataError, match=r"\+resume_from_cache=true.*\+overwrite=true"):
        open_store()
    with open_store(resume=True) as store:
        assert store.tally.completed == 1


def test_overwrite_begins_anew(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        first, second, *_ = store.rows_to_run()
        store.add(first, {"reward": 1.0})
        store.add(second, failure())
    files.metrics.write_text("[]")
    with open_store(overwrite=True, num_repeats=3) as store:
        assert (store.tally.requested, store.tally.not_run) == (6, 6)
    assert not files.metrics.exists()


def test_other_arguments_are_refused_and_named(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    before = {path: path.read_bytes() for path in (files.results, files.inputs, files.run)}
    with pytest.raises(DataError) as caught:
        open_store(resume=True, num_repeats=4, responses_create_params={"temperature": 0.5})
    assert "`num_repeats` was 2, is 4" in str(caught.value)
    assert "`responses_create_params` was {}, is {'temperature': 0.5}" in str(caught.value)
    assert "another +output_jsonl_fpath" in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before


def test_other_rows_are_refused(open_store: OpenStore, tmp_path: Path) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    (tmp_path / "tasks.jsonl").write_bytes(b'{"responses_create_params":{"input":"hello"}}\n' * 2)
    with pytest.raises(DataError, match="different collection: the rows of the input file have changed\n"):
        open_store(resume=True)


def test_another_limit_is_named_as_the_only_difference(open_store: OpenStore) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    with pytest.raises(DataError, match="collection: `limit` was not given, is 1\n"):
        open_store(resume=True, limit=1)


def test_results_without_their_record_cannot_be_resumed(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    files.run.unlink()
    with pytest.raises(DataError, match=r"`out_run\.json`.*is missing"):
        open_store(resume=True)


def test_result_lines_are_understood_in_any_order_of_keys(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        store.add(next(store.rows_to_run()), {"reward": 1.0})
    files.results.write_bytes(b'{"reward": 0.5, "_ng_rollout_index": 1, "_ng_task_index": 0}\n')
    with open_store(resume=True) as store:
        assert (0, 1, 0) not in to_run(store)
        assert store.tally.mean_reward == 0.5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{broken}", "out.jsonl:2: is no result"),
        (
            b'{"_ng_task_index":0,"_ng_rollout_index":0,"reward":1.0}',
            "out.jsonl:2: a second result of task 0, rollout 0",
        ),
        (b'{"_ng_task_index":7,"_ng_rollout_index":0,"reward":1.0}', "rollout (7, 0) is not in the plan"),
    ],
)
def test_a_results_file_that_was_damaged_is_refused_by_line_and_left_alone(
    open_store: OpenStore, files: CollectionFiles, line: bytes, says: str
) -> None:
    with open_store() as store:
        first, second, *_ = store.rows_to_run()
        store.add(first, {"reward": 1.0})
        store.add(second, failure())
    with files.results.open("ab") as file:
        file.write(line + b"\n")
    before = (files.results.read_bytes(), files.failures.read_bytes())
    with pytest.raises(DataError) as caught:
        open_store(resume=True)
    assert says in str(caught.value)
    assert (files.results.read_bytes(), files.failures.read_bytes()) == before


def test_two_collections_cannot_share_their_files(open_store: OpenStore) -> None:
    with open_store(), pytest.raises(DataError, match="another collection is writing"):
        open_store(resume=True)


def test_after_the_end_every_rollout_has_one_line_in_one_file(open_store: OpenStore, files: CollectionFiles) -> None:
    with open_store() as store:
        for index, row in enumerate(store.rows_to_run()):
            store.add(row, failure() if index % 2 else {"reward": 1.0})
    with open_store(resume=True) as store:
        for row in store.rows_to_run():
            store.add(row, failure("timeout"))
    keys = [
        (line["_ng_task_index"], line["_ng_rollout_index"]) for line in lines(files.results) + lines(files.failures)
    ]
    assert sorted(keys) == [(0, 0), (0, 1), (1, 0), (1, 1)]
