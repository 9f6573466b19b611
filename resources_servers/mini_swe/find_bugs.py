"""Writes each repository's `catalog.json`: which hidden tests its bugs break, alone and in pairs.

    python -m resources_servers.mini_swe.find_bugs [--repositories FOLDER] [NAME ...]

To the bugs of `bugs.toml` come mutations of the code. Every bug is tried with the hidden tests, in a sandbox; what
breaks none of them, or nearly all, is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path

from resources_servers.mini_swe.catalog import (
    REPOSITORIES,
    Bug,
    Repository,
    Task,
    read_tree,
    replaced_once,
    write_catalog,
)
from resources_servers.mini_swe.mutations import mutations
from resources_servers.mini_swe.verifier import HiddenTests, run_hidden_tests

MAX_MUTATIONS = 24
MAX_PAIRS = 12
MAX_BROKEN_SHARE = 0.5
"""What breaks more of the tests is no puzzle."""
AT_ONCE = 4


async def catalog_of(folder: Path, backend: str) -> tuple[list[Bug], list[Task]]:
    """The bugs of a repository that hidden tests notice, and the tasks made of them. Raises `ValueError`."""
    repository = Repository(folder.name, read_tree(folder / "files"), read_tree(folder / "hidden"), {}, ())
    if broken := await broken_tests(repository, repository.files, backend):
        raise ValueError(f"{folder.name}: without any bug, these hidden tests fail: {broken}")
    written = [Bug(**bug) for bug in tomllib.loads((folder / "bugs.toml").read_text(encoding="utf-8"))["bug"]]
    for bug in written:
        if replaced_once(repository.files[bug.path], bug.correct, bug.buggy).count(bug.buggy) != 1:
            raise ValueError(f"{folder.name}: `{bug.id}` could not be told from other lines; give more of them")
    rng = random.Random(folder.name)
    candidates = mutated(repository)
    rng.shuffle(candidates)
    by_id = {bug.id: bug for bug in [*written, *candidates]}
    repository = Repository(repository.name, repository.files, repository.hidden_tests, by_id, ())
    most = MAX_BROKEN_SHARE * len(repository.behaviours)
    alone = await tried(repository, [(bug.id,) for bug in by_id.values()], backend)
    tasks = [task for task in alone if task.bugs[0] in {bug.id for bug in written}]
    if unnoticed := {bug.id for bug in written} - {task.bugs[0] for task in tasks if task.fail_to_pass}:
        raise ValueError(f"{folder.name}: no hidden test notices {sorted(unnoticed)}")
    found = [task for task in alone if task not in tasks and 0 < len(task.fail_to_pass) <= most]
    tasks += found[:MAX_MUTATIONS]
    pairs = [
        (one.bugs[0], other.bugs[0])
        for one, other in itertools.combinations(tasks, 2)
        if set(one.fail_to_pass).isdisjoint(other.fail_to_pass) and fit_together(repository, one, other)
    ]
    rng.shuffle(pairs)
    used = {task.bugs[0]: task.fail_to_pass for task in tasks}
    for task in await tried(repository, pairs[: 2 * MAX_PAIRS], backend):
        apart = {test for bug in task.bugs for test in used[bug]}
        if apart <= set(task.fail_to_pass) and sum(len(task.bugs) == 2 for task in tasks) < MAX_PAIRS:
            tasks.append(task)
    return [by_id[bug] for bug in used], tasks


def mutated(repository: Repository) -> list[Bug]:
    """All mutations of the repository's own modules, its tests left out."""
    return [
        Bug(f"{Path(path).stem}-{mutation.line}-{mutation.kind}-{number}", path, mutation.correct, mutation.buggy)
        for path, text in repository.files.items()
        if path.endswith(".py") and not path.startswith("tests/")
        for number, mutation in enumerate(mutations(text))
    ]


async def tried(repository: Repository, bugs: Sequence[tuple[str, ...]], backend: str) -> list[Task]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(names: tuple[str, ...]) -> Task:
        async with slots:
            return Task(names, tuple(await broken_tests(repository, repository.with_bugs(names), backend)))

    return list(await asyncio.gather(*(one(names) for names in bugs)))


async def broken_tests(repository: Repository, files: dict[str, str], backend: str) -> list[str]:
    tests = HiddenTests(repository.hidden_tests, list(repository.behaviours))
    verdict = await run_hidden_tests(files, repository.files, tests, backend=backend, test_timeout_s=2.0)
    return list(verdict.failed)


def fit_together(repository: Repository, one: Task, other: Task) -> bool:
    """Whether both bugs can be put in, and each taken out by its own lines."""
    try:
        files = repository.with_bugs((one.bugs[0], other.bugs[0]))
    except ValueError:
        return False
    bugs = [repository.bugs[task.bugs[0]] for task in (one, other)]
    return all(files[bug.path].count(bug.buggy) == 1 for bug in bugs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="repositories; default: all")
    parser.add_argument("--repositories", type=Path, default=REPOSITORIES, help="folder of repositories")
    parser.add_argument("--sandbox", default="auto", help="backend in which the tests run")
    args = parser.parse_args()
    for bugs_file in sorted(args.repositories.glob("*/bugs.toml")):
        folder = bugs_file.parent
        if args.names and folder.name not in args.names:
            continue
        bugs, tasks = asyncio.run(catalog_of(folder, args.sandbox))
        write_catalog(folder, bugs, tasks)
        print(f"{folder / 'catalog.json'}: {len(bugs)} bugs, {len(tasks)} tasks")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
