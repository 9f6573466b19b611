"""Rows of SWE-bench's form, such as SWE-Gym's: checked, and turned into tasks that run in the instance's own image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nemo_gym.errors import DataError
from nemo_gym.prepare import TaskRow
from nemo_gym.rollouts.rows import parse_object, read_lines
from resources_servers.mini_swe.prompts import SYSTEM

TEXTS = ("instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch")
IMAGE_KEYS = ("image_name", "docker_image", "image")
DEFAULT_IMAGE = "docker.io/swebench/sweb.eval.x86_64.{instance}:latest"
"""Where a row names no image: the one that SWE-bench publishes for the instance."""


def convert(path: Path) -> Iterator[TaskRow]:
    """The tasks of a `.jsonl` file. Raises `DataError` with the line of the first row that is not of the form."""
    for line in read_lines(path):
        try:
            yield task_row(parse_object(path, line))
        except ValueError as error:
            raise DataError(str(path), line.number, str(error)) from error


def task_row(row: dict[str, Any]) -> TaskRow:
    """One instance as a task. Raises `ValueError`."""
    for key in TEXTS:
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"`{key}` is {'missing' if row.get(key) is None else 'no text, or empty'}")
    for key in ("patch", "test_patch"):
        if "\n+++ " not in "\n" + row[key]:
            raise ValueError(f"`{key}` is no unified diff: it has no line that begins with `+++ `")
    fail_to_pass, pass_to_pass = _test_names(row, "FAIL_TO_PASS"), _test_names(row, "PASS_TO_PASS")
    if not fail_to_pass:
        raise ValueError("`FAIL_TO_PASS` is empty: nothing would tell a solution from none")
    known = {*TEXTS, *IMAGE_KEYS, "FAIL_TO_PASS", "PASS_TO_PASS"}
    return {
        "instance_id": row["instance_id"],
        "responses_create_params": {"input": prompt(row["repo"], row["problem_statement"])},
        "image": image_of(row),
        "repo": row["repo"],
        "base_commit": row["base_commit"],
        "patch": row["patch"],
        "test_patch": row["test_patch"],
        "FAIL_TO_PASS": fail_to_pass,
        "PASS_TO_PASS": pass_to_pass,
        **{key: value for key, value in row.items() if key not in known},
    }


def prompt(repo: str, problem: str) -> list[dict[str, Any]]:
    task = f"""\
The repository `{repo}` lies in the working folder. A user reports:

<issue>
{problem.strip()}
</issue>

Repair it in the repository's code. You need not change its tests: they are replaced before your work is judged."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]


def image_of(row: dict[str, Any]) -> str:
    """The image that the row names, else SWE-bench's for the instance, in whose name `__` is written `_1776_`."""
    for key in IMAGE_KEYS:
        if isinstance(row.get(key), str) and row[key].strip():
            return str(row[key]).strip()
    return DEFAULT_IMAGE.format(instance=row["instance_id"].lower().replace("__", "_1776_"))


def _test_names(row: dict[str, Any], key: str) -> list[str]:
    """A list of test names; SWE-bench's files hold it as JSON text."""
    value = row.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"`{key}` is text, but no JSON list") from None
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f"`{key}` is {'missing' if value is None else 'no list of test names'}")
    return value
