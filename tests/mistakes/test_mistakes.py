"""Every mistake is told in at most ten lines: where it is, what is wrong, what to do. Nothing is left running."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mistakes.catalogue import MISTAKES
from tests.mistakes.mistake import MOST_LINES, Mistake, make
from tests.mistakes.project import KEY, running_project

TROUBLESHOOTING = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
SAID_ELSEWHERE = ('pip install "nemo-gym[mcp]"',)
"""By tests/serving/test_mcp.py."""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the project's servers run."""
    folder = tmp_path_factory.mktemp("servers")
    with running_project(folder):
        yield folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_in_a_few_lines(mistake: Mistake, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    running = request.getfixturevalue("servers") if mistake.needs_servers else None
    outcome = make(mistake, tmp_path, running)
    for words in mistake.says:
        assert words in outcome.output
    assert len(outcome.lines) <= MOST_LINES, outcome.output
    assert "Traceback" not in outcome.output
    assert KEY not in outcome.output
    assert outcome.exit_code == mistake.exit_code, outcome.output
    assert outcome.left_over == []


def test_there_are_as_many_as_promised_and_none_twice() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 40


def test_the_project_is_right_without_a_mistake(tmp_path: Path, servers: Path) -> None:
    command = "ng_collect_rollouts +agent_name=quiz_agent +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=out.jsonl"
    outcome = make(Mistake("none", command, (), needs_servers=True), tmp_path, servers)
    assert outcome.exit_code == 0 and "requested 20 = completed 20 + failed 0" in outcome.output


def test_what_the_page_about_troubleshooting_quotes_is_said() -> None:
    said = [words for mistake in MISTAKES for words in mistake.says]
    sections = TROUBLESHOOTING.read_text(encoding="utf-8").split("\n## ")
    # What `ng_status` says of a run that waits is no mistake: tests/e2e/test_stuck_work.py.
    lines = [line for section in sections if not section.startswith("Something hangs") for line in section.splitlines()]
    rows = [line for line in lines if line.startswith("| `")]
    for row in rows:
        quoted = row.removeprefix("| ").split(" | ")[0]
        [fragment, *_] = re.findall(r"``(.+?) ?``|`([^`]+)`", quoted)
        words = "".join(fragment)
        assert any(words in each for each in said) or words in SAID_ELSEWHERE, f"{words}: no mistake has it told"
    assert len(rows) > 25
