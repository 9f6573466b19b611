"""The short form: every fault in one collection, and the drills that need little time. The long one: `make faults`."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, only, shell
from tests.faults.case import HEALTHY_ROWS, Scene, common_problems, play_drill
from tests.faults.catalogue import FAULTS
from tests.faults.collecting import Collecting, row
from tests.faults.drills import DRILLS
from tests.faults.gym import FaultyGym, faulty_gym

# Few tests of many cases: those of a module may be shared out to several processes, each with a gym of its own.
pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "reliability.md"
SEED = 6
DEADLINE_S = max(fault.deadline_s for fault in FAULTS)


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyGym]:
    with faulty_gym(tmp_path_factory.mktemp("gym")) as running:
        yield running


def test_rollouts_that_meet_every_fault_side_by_side_end_as_promised(gym: FaultyGym, tmp_path: Path) -> None:
    numbers = {fault.name: HEALTHY_ROWS + index for index, fault in enumerate(FAULTS)}
    rows = [row(n) for n in range(HEALTHY_ROWS)]
    for fault in FAULTS:
        rows += fault.rows(numbers[fault.name], 1)
    outcome = Collecting(gym, tmp_path, rows, f"+num_samples_in_parallel={len(rows)}").end(3 * DEADLINE_S)
    found = {fault.name: fault.problems(outcome, gym, {numbers[fault.name]: numbers[fault.name]}) for fault in FAULTS}
    found["all together"] = common_problems(outcome, gym, DEADLINE_S)
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert set(range(HEALTHY_ROWS)) <= outcome.done
    assert outcome.requested == outcome.completed + outcome.failed.total() == len(rows)
    assert f"requested {len(rows)} = completed {outcome.completed} + failed" in outcome.output


def test_collections_in_trouble_end_as_promised(gym: FaultyGym, tmp_path: Path) -> None:
    found = {}
    for drill in DRILLS:
        if not drill.only_long:
            folder = tmp_path / drill.name.replace(" ", "_")
            folder.mkdir()
            scene = Scene(gym, folder, random.Random(SEED), is_long=False)
            found[drill.name] = play_drill(drill, scene).problems
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_the_page_has_every_case_once_and_the_makefile_plays_them() -> None:
    rows = re.findall(r"^\| (.+?) +\| [\d.]+ / \d+ ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for row in rows for name in row.split("; ")]
    assert names == [case.name for case in (*FAULTS, *DRILLS)]
    assert len(set(names)) == len(names)
    assert "make faults\n" in bash_blocks(PAGE)
    assert "-m tests.faults\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_command_of_the_page_plays_a_few_cases() -> None:
    said = shell(only(bash_blocks(PAGE), "python -m"), ROOT)
    assert "1 of 1 cases ended as promised" in said
    assert "the connection broke" in said
