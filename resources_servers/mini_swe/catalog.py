"""Repositories with their bugs and hidden tests, as they lie in a folder."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

REPOSITORIES = Path(__file__).parent / "repositories"
CATALOG = "catalog.json"


@dataclass(frozen=True)
class Bug:
    """One change that breaks a repository."""

    id: str
    path: str
    correct: str
    """Whole lines, found once in the file."""
    buggy: str
    issue: str = ""
    """What a user reports; `""`: it is made of what the broken tests say."""


@dataclass(frozen=True)
class Task:
    """Bugs that are in a repository together, and the hidden tests that they break."""

    bugs: tuple[str, ...]
    fail_to_pass: tuple[str, ...]


@dataclass(frozen=True)
class Repository:
    """A folder of `files/` (the repository, without bugs), `hidden/` (`test_*.py`), `bugs.toml` and `catalog.json`."""

    name: str
    files: dict[str, str]
    hidden_tests: dict[str, str]
    bugs: dict[str, Bug]
    tasks: tuple[Task, ...]

    @classmethod
    def load(cls, folder: Path) -> Repository:
        """Raises `OSError` or `ValueError` where the folder is not of that form."""
        catalog = json.loads((folder / CATALOG).read_text(encoding="utf-8"))
        return cls(
            name=folder.name,
            files=read_tree(folder / "files"),
            hidden_tests=read_tree(folder / "hidden"),
            bugs={bug["id"]: Bug(**bug) for bug in catalog["bugs"]},
            tasks=tuple(Task(tuple(one["bugs"]), tuple(one["fail_to_pass"])) for one in catalog["tasks"]),
        )

    def with_bugs(self, bugs: tuple[str, ...]) -> dict[str, str]:
        """The repository's files, broken. Raises `ValueError` where a bug does not fit."""
        files = dict(self.files)
        for bug in (self.bugs[name] for name in bugs):
            files[bug.path] = replaced_once(files[bug.path], bug.correct, bug.buggy)
        return files

    @cached_property
    def behaviours(self) -> dict[str, str]:
        """By hidden test: what it says in its docstring, a sentence about the package."""
        found: dict[str, str] = {}
        for path, text in self.hidden_tests.items():
            for case in (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)):
                for test in case.body:
                    if isinstance(test, ast.FunctionDef) and test.name.startswith("test"):
                        name = f"{path.removesuffix('.py')}.{case.name}.{test.name}"
                        found[name] = " ".join((ast.get_docstring(test) or test.name).split())
        return found


def load_repositories(folder: Path = REPOSITORIES) -> list[Repository]:
    """All repositories of a folder, by name."""
    return [Repository.load(path.parent) for path in sorted(folder.glob(f"*/{CATALOG}"))]


def write_catalog(folder: Path, bugs: list[Bug], tasks: list[Task]) -> None:
    text = json.dumps({"bugs": [asdict(bug) for bug in bugs], "tasks": [asdict(task) for task in tasks]}, indent=1)
    (folder / CATALOG).write_text(text + "\n", encoding="utf-8")


def read_tree(folder: Path) -> dict[str, str]:
    """The text files below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def replaced_once(text: str, old: str, new: str) -> str:
    """`text` with `old`, which must be there exactly once, replaced."""
    if text.count(old) != 1:
        raise ValueError(f"found {text.count(old)} times, expected once: {old!r:.200}")
    return text.replace(old, new)
