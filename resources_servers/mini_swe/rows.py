"""Task rows: a repository in the row itself, or an instance of SWE-bench's form with an image of its own."""

from __future__ import annotations

import sys
from pathlib import PurePosixPath
from typing import Self

from pydantic import Field, field_validator, model_validator

from nemo_gym.schemas.episode import BaseRunRequest
from resources_servers.mini_swe.verifier import package_names


class MiniSweRow(BaseRunRequest):
    """Holds `files` and `hidden_tests`, or `image` and `test_patch`."""

    instance_id: str = ""
    FAIL_TO_PASS: list[str] = Field(min_length=1)
    """Hidden tests that the bug breaks: `test_x.Case.test_name`, with an image whatever its test command prints."""
    PASS_TO_PASS: list[str] = Field(default_factory=list)
    """Hidden tests that passed before, and must still pass."""
    max_turns: int | None = Field(default=None, ge=1)

    files: dict[str, str] = Field(default_factory=dict)
    """The repository, bug included: text by path."""
    hidden_tests: dict[str, str] = Field(default_factory=dict)
    """`test_x.py` → `unittest` cases, which import the repository's packages. Never shown to the policy."""

    image: str = ""
    """Docker image that holds the repository, with its git history, at `repository_folder`."""
    repository_folder: str = "/testbed"
    test_patch: str = ""
    """Unified diff that puts the hidden tests into the repository."""
    test_command: str = ""
    """Bash that runs them; `""`: pytest on the files that `test_patch` changes."""

    @field_validator("files", "hidden_tests")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts or str(pure) != path or not path.isprintable():
                raise ValueError(f"{path!r:.100} is no plain relative path")
        return files

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if self.image:
            if self.files or self.hidden_tests or not self.test_patch:
                raise ValueError("a row with `image` needs `test_patch`, and has neither `files` nor `hidden_tests`")
            return self
        if not self.files or not self.hidden_tests:
            raise ValueError("a row needs `files` and `hidden_tests`, or `image` and `test_patch`")
        for name in [*self.FAIL_TO_PASS, *self.PASS_TO_PASS]:
            file, _, rest = name.partition(".")
            if f"{file}.py" not in self.hidden_tests or rest.count(".") != 1:
                raise ValueError(f"{name:.100}: no test of `hidden_tests`; write `test_x.Case.test_name`")
        if shadowing := set(package_names(self.files)) & set(sys.stdlib_module_names):
            raise ValueError(f"{sorted(shadowing)}: packages of the repository hide modules of Python itself")
        return self
