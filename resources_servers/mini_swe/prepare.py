"""Writes tasks: a repository with a bug, or two, a report of what goes wrong, and hidden tests; or converts SWE-Gym's.

python resources_servers/mini_swe/prepare.py --num-rows 100 --seed 0 --output train.jsonl
python resources_servers/mini_swe/prepare.py --repositories my_repositories --num-rows 100 --output mine.jsonl
python resources_servers/mini_swe/prepare.py --input swe_gym.jsonl --output swe_gym_rows.jsonl
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path

from nemo_gym.prepare import TaskRow, run_prepare
from resources_servers.mini_swe.catalog import REPOSITORIES, Repository, Task, load_repositories
from resources_servers.mini_swe.prompts import repository_prompt
from resources_servers.mini_swe.swe_rows import convert

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

KINDS = {"written": 5, "mutated": 3, "two bugs": 2}
"""How often each kind of task is drawn."""
INTRODUCTIONS = (
    "Something broke",
    "Wrong results since the last release",
    "This does not do what it should",
    "Regression",
)
PROMISES = (
    "Some of this does not hold any more:",
    "I rely on the following, and it is no longer so:",
    "What I expect, and do not get:",
    "One or more of these went wrong with the latest change:",
)


def make_row(rng: random.Random, index: int, repositories: list[Repository]) -> TaskRow:
    repository = rng.choice(repositories)
    task = choose_task(rng, repository)
    issue = "\n".join(issue_of(rng, repository, bug, task) for bug in task.bugs)
    broken = set(task.fail_to_pass)
    return {
        "instance_id": f"{repository.name}--{'--'.join(task.bugs)}",
        "responses_create_params": {"input": repository_prompt(repository.name, issue)},
        "files": repository.with_bugs(task.bugs),
        "hidden_tests": repository.hidden_tests,
        "FAIL_TO_PASS": list(task.fail_to_pass),
        "PASS_TO_PASS": [name for name in repository.behaviours if name not in broken],
        "fix": [
            {"path": bug.path, "buggy": bug.buggy, "correct": bug.correct}
            for bug in (repository.bugs[name] for name in task.bugs)
        ],
    }


def choose_task(rng: random.Random, repository: Repository) -> Task:
    """A task of a kind that is drawn first, so that the few written bugs come as often as the many mutations."""
    by_kind: dict[str, list[Task]] = {}
    for task in repository.tasks:
        single = "written" if repository.bugs[task.bugs[0]].issue else "mutated"
        by_kind.setdefault(single if len(task.bugs) == 1 else "two bugs", []).append(task)
    kinds = [kind for kind in KINDS if kind in by_kind]
    return rng.choice(by_kind[rng.choices(kinds, weights=[KINDS[kind] for kind in kinds])[0]])


def issue_of(rng: random.Random, repository: Repository, name: str, task: Task) -> str:
    """What a user reports of a bug. For a mutation: what the tests that it breaks say, and one that it does not."""
    bug = repository.bugs[name]
    if bug.issue:
        title, _, text = bug.issue.strip().partition("\n")
        return f"## {title}\n\n{text.strip()}\n"
    alone = next(one for one in repository.tasks if one.bugs == (name,))
    others = [test for test in repository.behaviours if test not in task.fail_to_pass]
    told = [*alone.fail_to_pass[:3], *rng.sample(others, k=min(1, len(others)))]
    rng.shuffle(told)
    sentences = "\n".join(f"- {repository.behaviours[test]}" for test in told)
    return f"## {rng.choice(INTRODUCTIONS)}\n\n{rng.choice(PROMISES)}\n\n{sentences}\n"


def main() -> str:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--repositories", type=Path, default=REPOSITORIES)
    options, rest = parser.parse_known_args()
    repositories = load_repositories(options.repositories)
    if not repositories:
        parser.error(f"{options.repositories}: no repository with a catalog.json; run find_bugs.py on it first")
    return run_prepare(partial(make_row, repositories=repositories), EXAMPLE, rest, convert=convert)


if __name__ == "__main__":
    print(main())
