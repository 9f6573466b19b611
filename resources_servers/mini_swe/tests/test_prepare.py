from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from nemo_gym.errors import DataError
from resources_servers.mini_swe.catalog import Repository, load_repositories, replaced_once
from resources_servers.mini_swe.mutations import mutations
from resources_servers.mini_swe.prepare import make_row
from resources_servers.mini_swe.rows import MiniSweRow
from resources_servers.mini_swe.swe_rows import convert, task_row
from resources_servers.mini_swe.tests.sandbox_here import needs_sandbox
from resources_servers.mini_swe.verifier import HiddenTests, run_hidden_tests

FOLDER = Path(__file__).resolve().parents[1]
repositories = cache(load_repositories)


def test_every_bug_goes_in_and_comes_out_and_tasks_name_tests_that_there_are() -> None:
    assert len(repositories()) >= 8
    tasks = [(repository, task) for repository in repositories() for task in repository.tasks]
    assert len(tasks) > 300
    for repository, task in tasks:
        files = repository.with_bugs(task.bugs)
        assert files != repository.files
        for bug in (repository.bugs[name] for name in task.bugs):
            files[bug.path] = replaced_once(files[bug.path], bug.buggy, bug.correct)
        assert files == repository.files
        assert task.fail_to_pass and set(task.fail_to_pass) < repository.behaviours.keys()


@pytest.mark.parametrize("repository", repositories(), ids=lambda repository: repository.name)
def test_hidden_and_public_tests_pass_without_bugs_in_an_ordinary_runner(
    repository: Repository, tmp_path: Path
) -> None:
    for path, text in {**repository.files, **repository.hidden_tests}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    names = [path.removesuffix(".py") for path in repository.hidden_tests]
    public = [path.removesuffix(".py").replace("/", ".") for path in repository.files if path.startswith("tests/test_")]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest", *names, *public],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@needs_sandbox
@pytest.mark.parametrize("repository", repositories()[::3], ids=lambda repository: repository.name)
async def test_a_task_breaks_the_tests_that_the_catalog_says_and_no_others(repository: Repository) -> None:
    task = random.Random(repository.name).choice(repository.tasks)
    tests = HiddenTests(repository.hidden_tests, list(repository.behaviours))
    files = repository.with_bugs(task.bugs)
    verdict = await run_hidden_tests(files, repository.files, tests, backend="auto", test_timeout_s=10.0)
    assert set(verdict.failed) == set(task.fail_to_pass)


def test_rows_fit_and_tell_the_policy_nothing_of_fix_and_hidden_tests() -> None:
    for index in range(60):
        row = make_row(random.Random(index), index, repositories())
        MiniSweRow.model_validate(row)
        told = json.dumps(row["responses_create_params"])
        assert not any(name.rpartition(".")[2] in told for name in row["FAIL_TO_PASS"])
        assert all(json.dumps(fix["correct"])[1:-1] not in told for fix in row["fix"])
        assert not set(row["files"]) & set(row["hidden_tests"])
        assert len(json.dumps(row)) < 30_000


def test_the_same_seed_gives_the_same_row_and_others_differ() -> None:
    ids = [make_row(random.Random(seed), 0, repositories())["instance_id"] for seed in range(40)]
    assert ids == [make_row(random.Random(seed), 0, repositories())["instance_id"] for seed in range(40)]
    assert len(set(ids)) > 30


def test_mutations_change_whole_lines_and_still_parse() -> None:
    source = (
        'def f(a, b=1):\n    """1 + 1"""\n    if not a or a < b:\n'
        '        return min(a, "ä" + b)\n    a += 1\n    return a\n'
    )
    found = {(one.kind, one.buggy.strip()) for one in mutations(source)}
    assert found >= {
        ("comparison", "if not a or a <= b:"),
        ("boolean", "if not a and a < b:"),
        ("negation", "if a or a < b:"),
        ("function", 'return max(a, "ä" + b)'),
        ("arithmetic", 'return min(a, "ä" - b)'),
        ("constant", "def f(a, b=2):"),
        ("statement", "pass"),
    }
    for one in mutations(source):
        assert source.count(one.correct) == 1 and one.correct.endswith("\n")


INSTANCE = {
    "instance_id": "octo__widget-7",
    "repo": "octo/widget",
    "base_commit": "abc123",
    "problem_statement": "It breaks.",
    "patch": "--- a/w.py\n+++ b/w.py\n@@ -1 +1 @@\n-x\n+y\n",
    "test_patch": "--- a/test_w.py\n+++ b/test_w.py\n@@ -1 +1 @@\n-x\n+y\n",
    "FAIL_TO_PASS": '["test_w.py::test_a"]',
    "PASS_TO_PASS": ["test_w.py::test_b"],
    "version": "1.0",
}


def test_instances_of_swe_benchs_form_become_rows(tmp_path: Path) -> None:
    path = tmp_path / "swe.jsonl"
    path.write_text("\n".join(map(json.dumps, [INSTANCE, {**INSTANCE, "image_name": "mine:1"}])), encoding="utf-8")
    first, second = convert(path)
    MiniSweRow.model_validate(first)
    assert first["image"] == "docker.io/swebench/sweb.eval.x86_64.octo_1776_widget-7:latest"
    assert (second["image"], second["version"]) == ("mine:1", "1.0")
    assert (first["FAIL_TO_PASS"], first["PASS_TO_PASS"]) == (["test_w.py::test_a"], ["test_w.py::test_b"])
    told = json.dumps(first["responses_create_params"])
    assert "It breaks." in told and "octo/widget" in told and "test_a" not in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"problem_statement": " "}, "`problem_statement` is no text, or empty"),
        ({"base_commit": None}, "`base_commit` is missing"),
        ({"test_patch": "diff"}, "`test_patch` is no unified diff"),
        ({"FAIL_TO_PASS": "[]"}, "`FAIL_TO_PASS` is empty"),
        ({"FAIL_TO_PASS": "test_a"}, "no JSON list"),
        ({"PASS_TO_PASS": [1]}, "no list of test names"),
    ],
)
def test_an_instance_of_another_form_is_named_with_its_line(
    change: dict[str, object], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "swe.jsonl"
    path.write_text("\n".join(map(json.dumps, [INSTANCE, {**INSTANCE, **change}])), encoding="utf-8")
    with pytest.raises(DataError, match=told) as caught:
        list(convert(path))
    assert caught.value.line == 2
    assert task_row(INSTANCE)["repo"] == "octo/widget"
