"""Options of a command: typed, checked, explained."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from nemo_gym.config.options import HELP_WIDTH, OptionsModel, help_text, parse_options, wants_help
from nemo_gym.errors import ConfigError


class WalkOptions(OptionsModel):
    agent_name: str
    """Which agent walks. It must be running."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many rows."""
    pace: Literal["slow", "fast"] = "slow"
    """How fast."""
    output: Path = Path("walks.jsonl")
    params: dict[str, object] = Field(default_factory=dict)
    """A description that goes on and on, so long that it cannot possibly stand on a single line beside the others"""
    resume: bool = True
    tags: list[str] = Field(default_factory=list)
    api_key: int = 0


def parse(*argv: str, **settings: object) -> WalkOptions:
    return parse_options(argv, WalkOptions, command="ng_walk", **settings)  # type: ignore[arg-type]


def mistakes(*argv: str, **settings: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(*argv, **settings)
    return str(caught.value).splitlines()


def test_options_are_read_with_one_two_or_no_plus_signs():
    options = parse("+agent_name=maze_agent", "limit=5", "++pace=fast", "+resume=false", "+tags=[a,b]")
    assert options == WalkOptions(agent_name="maze_agent", limit=5, pace="fast", resume=False, tags=["a", "b"])


def test_a_mapping_may_be_given_whole_or_key_by_key():
    options = parse("+agent_name=a", "+params={temperature: 0.5}", "+params.nested.top_p=0.9")
    assert options.params == {"temperature": 0.5, "nested": {"top_p": 0.9}}


def test_a_text_that_looks_like_a_number_stays_as_typed():
    assert parse("+agent_name=1e5", "+output=007").agent_name == "1e5"
    assert parse("+agent_name='5'", "+output=007").output == Path("007")


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("+agent=x", "command line: `agent`: is no option of ng_walk; did you mean `agent_name`?"),
        ("+limit=0", "command line: `limit`: must be a whole number, at least 1, not `0`"),
        ("+limit=many", "command line: `limit`: must be a whole number, not `many`"),
        ("+pace=medium", "command line: `pace`: must be one of `slow`, `fast`, not `medium`"),
        ("+resume=perhaps", "command line: `resume`: must be true or false, not `perhaps`"),
        ("+params=3", "command line: `params`: must be a mapping like `{key: value}`, not `3`"),
        ("+tags=a", "command line: `tags`: must be a list like `[a,b]`, not `a`"),
        ("+api_key=hunter22", "command line: `api_key`: must be a whole number"),
        ("~limit", "command line: `limit`: an option cannot be removed"),
        ("+limit.x=1", "command line: `limit`: must be a whole number"),
        ("--limit=5", "command line: `--limit` is no option: write `+limit=…` (one `+`, no dashes)"),
        ("rows.jsonl", "command line: `rows.jsonl` sets nothing: write `+key=value`"),
    ],
)
def test_a_wrong_option_is_explained_in_one_line(argument, line):
    lines = mistakes("+agent_name=x", argument)
    assert len(lines) == 1
    assert lines[0].startswith(line)
    assert "hunter22" not in lines[0]


def test_all_wrong_options_are_reported_together():
    lines = mistakes("--x", "+agnt=1", "+limit=0")
    assert len(lines) == 4
    assert lines[-1] == "command line: `limit`: must be a whole number, at least 1, not `0`"
    assert "command line: `agent_name`: is required by ng_walk: add `+agent_name=…`" in lines


def test_an_option_that_cannot_be_read_is_not_called_absent_too():
    assert len(mistakes("+agent_name=a=b")) == 1
    assert len(mistakes("+agent_name=a=b", "--other", with_config=True)) == 1


def test_ignored_keys_and_those_of_a_configuration_are_left_to_others():
    assert parse("+agent_name=a", "+head_server.port=1", ignore={"head_server"}).agent_name == "a"
    assert parse("+agent_name=a", "+maze.anything=1", with_config=True).agent_name == "a"


def test_help_is_asked_for_in_the_usual_ways():
    assert wants_help(["--help"])
    assert wants_help(["+limit=5", "-h"])
    assert not wants_help(["+help=1"])


def test_help_fits_a_screen_with_one_line_per_option():
    text = help_text(WalkOptions, "ng_walk", "walk through a maze", "ng_walk +agent_name=maze_agent")
    lines = text.splitlines()
    assert lines[0] == "ng_walk: walk through a maze"
    assert "  ng_walk +agent_name=maze_agent" in lines
    assert sum(line[2:].startswith("+") for line in lines) == len(WalkOptions.model_fields)
    assert all(len(line) <= HELP_WIDTH for line in lines)
    assert any(line.startswith("* +agent_name= ") and line.endswith("Which agent walks.") for line in lines)
    assert any("+resume=true" in line for line in lines)


def test_a_long_example_is_continued_so_that_it_can_be_pasted():
    paths = '"+config_paths=[' + ",".join(f"resources_servers/{name}/configs/{name}.yaml" for name in "abc") + ']"'
    example = " ".join(["echo", paths, *(f"+tags={letter * 20}" for letter in "abcdef")])
    text = help_text(WalkOptions, "ng_walk", "walk", example)
    shown = text[text.index("  echo") : text.index("\n\nOptions")]
    assert all(len(line) <= HELP_WIDTH for line in shown.splitlines())
    printed = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [word.strip('"') for word in example.split()[1:]]
