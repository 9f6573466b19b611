"""Reading YAML: whatever is in a file, the answer is values or problems, never a crash."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_gym.config.load import load_config
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.errors import ConfigError
from tests.config.conftest import MAZE


def read(tmp_path: Path, content: str | bytes) -> list[str]:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    values, problems = read_yaml(path, "a.yaml")
    assert not (values and problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: \xff", "a.yaml: is no UTF-8 text (byte 3)"),
        ("a: 1\nb: \x01", "a.yaml: line 2: holds a control character, which YAML forbids"),
        ("[a]: 1", "a.yaml: line 1: a key must be text; a value that starts with `{` or `[` needs quotes"),
        ("a: &x [*x]", "a.yaml: `a[0]`: line 1: this anchor holds itself"),
        ("a: !!binary aGk=", "a.yaml: `a`: line 1: the tag `tag:yaml.org,2002:binary` is not allowed"),
        ("a: 1\n---\nb: 2", "a.yaml: line 2, column 1: expected a single document in the stream: "),
        ("a: 'x", "a.yaml: line 1: the file ends before what opens on line 1 is closed"),
        ("a: *x", "a.yaml: line 1, column 4: found undefined alias 'x'"),
        ("a: 1\na: 2\nb: {c: 1, c: 2}", "a.yaml: `a`: is given twice, on lines 1 and 2; keep one"),
    ],
)  # fmt: skip
def test_a_bad_file_is_explained(tmp_path, content, line):
    assert read(tmp_path, content)[0].startswith(line)


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# nothing yet\n")
    assert read_yaml(path, "a.yaml") == ({}, [])


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read" in str(read_yaml(tmp_path, "a.yaml")[1][0])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:- \n{}[],'\"&*!|>?#%@$\t.~1"), max_size=60))
@example("a: ${a}")
@example("a: {b: ${..c}}")
@example(f"m: {{resources_servers: {{{'x' * 300}: {{entrypoint: {'y' * 300}}}}}}}\nconfig_paths: [{'z' * 300}]")
@example('"a\\nb": ${a}\nport_range_low: "a\\nb"')
@example("a: ${oc.dict.keys:a}")
@example("b: ${a}\na: {b: ${b}}")
def test_no_text_makes_loading_crash(text):
    load_text(text)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MAZE) - 1), st.integers(0, 12), st.text(alphabet="a:{}[]\n $-?&*'1", max_size=3))
def test_no_slip_of_the_pen_makes_loading_crash(start, length, inserted):
    load_text(MAZE[:start] + inserted + MAZE[start + length :])


def load_text(text: str) -> None:
    """Load the text as a config file; `ConfigError` is the only exception it may raise."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.yaml").write_text(text)
        try:
            load_config(["+config_paths=[a.yaml]"], cwd=Path(folder))
        except ConfigError as error:
            assert error.problems
            assert all("\n" not in str(problem) for problem in error.problems)
