"""Wrong configurations: each mistake is found before anything starts, in one line that says where and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from nemo_gym.errors import ConfigError

BOTH = "+config_paths=[maze.yaml,model.yaml]"
MAZE_BLOCK = "maze.resources_servers.maze"
WALKER = "maze_agent.responses_api_agents.walker"


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with the workplace's configuration, and the line that must name it."""

    name: str
    line: str
    argv: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    replace: tuple[str, str] = ("", "")
    """A text of maze.yaml and what stands there instead."""


MISTAKES = [
    # Files
    Mistake(
        "a missing file",
        "command line: `config_paths`: there is no file `mase.yaml`, here or in the install; did you mean `maze.yaml`?",
        argv=("+config_paths=[mase.yaml]",),
    ),
    Mistake(
        "a config named without its folder",
        "command line: `config_paths`: there is no file `calendar.yaml`, here or in the install; "
        "did you mean `resources_servers/calendar/configs/calendar.yaml`?",
        argv=("+config_paths=[calendar.yaml]",),
    ),
    Mistake(
        "a file missing from a file's own list",
        "all.yaml: `config_paths`: there is no file `modell.yaml`, here or in the install; did you mean `model.yaml`?",
        argv=("+config_paths=[all.yaml]",),
        files={"all.yaml": "config_paths: [maze.yaml, modell.yaml]\n"},
    ),
    Mistake(
        "config_paths that is no list",
        "command line: `config_paths`: must be a list of files, as in `[a.yaml,b.yaml]`",
        argv=("+config_paths={a: b}",),
    ),
    Mistake(
        "files not in brackets",
        "command line: `config_paths`: several values are given; "
        "put a list into brackets, as in `[a,b]`, or the text into quotes",
        argv=("+config_paths=maze.yaml,model.yaml",),
    ),
    Mistake(
        "a tab as indent",
        "maze.yaml: line 2, column 1: a tab indents this line; YAML wants spaces",
        replace=("  resources_servers:\n", "\tresources_servers:\n"),
    ),
    Mistake(
        "an unclosed bracket",
        "maze.yaml: line 1: the file ends before what opens on line 1 is closed",
        files={"maze.yaml": "maze: {resources_servers: {maze: {entrypoint: app.py}}\n"},
    ),
    Mistake(
        "two colons on a line",
        "maze.yaml: line 5, column 25: a second `: ` on one line, or an indent that does not fit; "
        "put text that holds `: ` in quotes",
        replace=("domain: games", "description: games: all"),
    ),
    Mistake(
        "an unquoted ??? in braces",
        "maze.yaml: line 12, column 56: `???` needs quotes inside `{…}` and `[…]`",
        replace=("name: policy_model", "name: ???"),
    ),
    Mistake(
        "a top level that is a list",
        "maze.yaml: must be a mapping of keys to values at its top level",
        files={"maze.yaml": "- a\n- b\n"},
    ),
    Mistake(
        "a key given twice",
        f"maze.yaml: `{MAZE_BLOCK}.entrypoint`: is given twice, on lines 4 and 5; keep one",
        replace=("      domain: games", "      entrypoint: app.py"),
    ),
    Mistake(
        "broken env.yaml",
        "env.yaml: line 1, column 19: a second `: ` on one line, or an indent that does not fit; "
        "put text that holds `: ` in quotes",
        files={"env.yaml": "policy_base_url: a: b\n"},
    ),
    Mistake(
        "a custom tag",
        "maze.yaml: `maze.resources_servers.maze.domain`: line 5: "
        "the tag `!python` is not allowed here; write plain YAML",
        replace=("domain: games", "domain: !python games"),
    ),
    # Declarations
    Mistake(
        "a misspelt server type",
        "maze.yaml: `maze.resource_server`: is no server type; did you mean `resources_servers`?",
        replace=("  resources_servers:\n", "  resource_server:\n"),
    ),
    Mistake(
        "a foreign server type",
        "maze.yaml: `maze.environments`: is no server type; "
        "server types are `resources_servers`, `responses_api_agents`, `responses_api_models`",
        replace=("  resources_servers:\n", "  environments:\n"),
    ),
    Mistake(
        "no server type",
        "maze.yaml: `maze.maze`: stands where a server type belongs: "
        "put it below one of `resources_servers`, `responses_api_agents`, `responses_api_models`",
        files={"maze.yaml": "maze:\n  maze:\n    entrypoint: app.py\n"},
    ),
    Mistake(
        "no instance name",
        "maze.yaml: `resources_servers`: stands where an instance's name belongs; "
        "write `<name>:` and below it `resources_servers:`",
        files={"maze.yaml": "resources_servers:\n  maze:\n    entrypoint: app.py\n"},
    ),
    Mistake(
        "settings beside the server type",
        "maze.yaml: `maze.port`: beside `resources_servers` nothing else may stand; "
        "settings belong below `resources_servers.…`",
        replace=("maze:\n  resources_servers:", "maze:\n  port: 8000\n  resources_servers:"),
    ),
    Mistake(
        "two implementations in one file",
        "maze.yaml: `maze.resources_servers.other`: is a second implementation beside `maze`; "
        "an instance has exactly one",
        replace=("      domain: games\n", "      domain: games\n    other: {entrypoint: app.py}\n"),
    ),
    Mistake(
        "two files that define one instance differently",
        "castle.yaml: `maze.resources_servers.castle`: `maze` is already defined in maze.yaml as "
        "`resources_servers/maze`; give one of them another name",
        argv=("+config_paths=[maze.yaml,model.yaml,castle.yaml]",),
        files={"castle.yaml": "maze: {resources_servers: {castle: {entrypoint: app.py}}}\n"},
    ),
    Mistake(
        "two files that give one instance two server types",
        "castle.yaml: `maze.responses_api_models`: `maze` is already defined in maze.yaml as "
        "`resources_servers`; give one of them another name",
        argv=("+config_paths=[maze.yaml,model.yaml,castle.yaml]",),
        files={"castle.yaml": "maze: {responses_api_models: {oracle: {entrypoint: app.py}}}\n"},
    ),
    Mistake(
        "a name that cannot stand in a URL",
        "spaced.yaml: `my maze`: an instance's name is made of letters, digits, `_` and `-`",
        argv=("+config_paths=[maze.yaml,model.yaml,spaced.yaml]",),
        files={"spaced.yaml": "my maze: {resources_servers: {maze: {entrypoint: app.py}}}\n"},
    ),
    Mistake(
        "an instance without implementation",
        "maze.yaml: `maze.resources_servers`: needs the folder that implements it, and its settings below that; ",
        files={"maze.yaml": "maze:\n  resources_servers:\n"},
    ),
    Mistake(
        "an implementation without settings",
        "maze.yaml: `maze.resources_servers.maze`: needs its settings below, at least `entrypoint: app.py`",
        files={"maze.yaml": "maze:\n  resources_servers:\n    maze:\n"},
    ),
    Mistake(
        "a missing folder",
        "maze.yaml: `maze.resources_servers.mase`: there is no folder `resources_servers/mase`, "
        "here or in the install; did you mean `maze`?",
        replace=("    maze:\n      entrypoint", "    mase:\n      entrypoint"),
    ),
    Mistake(
        "a missing entrypoint file",
        f"maze.yaml: `{MAZE_BLOCK}.entrypoint`: there is no `apps.py` in ",
        replace=("app.py", "apps.py"),
    ),
    Mistake(
        "no entrypoint",
        f"maze.yaml: `{MAZE_BLOCK}.entrypoint`: is missing: the file in the folder to run, as in `entrypoint: app.py`",
        replace=("maze:\n      entrypoint: app.py\n", "maze:\n"),
    ),
    Mistake(
        "an override of a misspelt instance",
        "command line: `maz.resources_servers.maze`: `maz` has no `entrypoint`, so nothing defines it; "
        "did you mean `maze`?",
        argv=(BOTH, "+maz.resources_servers.maze.port=8000"),
    ),
    # References between values
    Mistake(
        "an unset value",
        f"maze.yaml: `{WALKER}.max_steps`: must be set: set it in env.yaml, or pass `+{WALKER}.max_steps=…`",
        replace=("max_steps: 20", "max_steps: ???"),
    ),
    Mistake(
        "an unset secret",
        f"maze.yaml: `{WALKER}.api_key`: must be set: set it in env.yaml, or refer to a variable: `${{oc.env:NAME}}`",
        replace=("max_steps: 20", "api_key: ???"),
    ),
    Mistake(
        "a reference to nothing",
        "model.yaml: `policy_model.responses_api_models.oracle.base_url`: refers to `policy_base_url`, "
        "which is not set: put `policy_base_url: …` into env.yaml, or pass `+policy_base_url=…`",
        files={"env.yaml": "\n"},
    ),
    Mistake(
        "a misspelt reference",
        "model.yaml: `policy_model.responses_api_models.oracle.base_url`: refers to `policy_base_url`, "
        "which is not set: did you mean `policy_base_ulr`?",
        files={"env.yaml": "policy_base_ulr: x\n"},
    ),
    Mistake(
        "an unset environment variable",
        f"maze.yaml: `{WALKER}.max_steps`: the environment variable NG_TEST_NOT_THERE is not set; "
        "set it, or give a default: ${oc.env:NG_TEST_NOT_THERE,…}",
        replace=("max_steps: 20", "max_steps: ${oc.env:NG_TEST_NOT_THERE}"),
    ),
    Mistake(
        "a misspelt resolver",
        f"maze.yaml: `{WALKER}.max_steps`: there is no resolver `oc.enw`; did you mean `oc.env`?",
        replace=("max_steps: 20", "max_steps: ${oc.enw:HOME}"),
    ),
    Mistake(
        "a reference that is not closed",
        f"maze.yaml: `{WALKER}.max_steps`: broken reference in `${{steps`: "
        "write `${key}` or `${oc.env:NAME,default}`",
        replace=("max_steps: 20", "max_steps: ${steps"),
    ),
    Mistake(
        "values that refer to each other",
        "loop.yaml: `a`: refers to itself, directly or through others",
        argv=("+config_paths=[maze.yaml,model.yaml,loop.yaml]",),
        files={"loop.yaml": "a: ${b}\nb: ${a}\n"},
    ),
    # References between instances
    Mistake(
        "a misspelt instance",
        f"maze.yaml: `{WALKER}.model_server.name`: there is no instance `polcy_model`; did you mean `policy_model`?",
        replace=("name: policy_model", "name: polcy_model"),
    ),
    Mistake(
        "an instance of another type",
        f"maze.yaml: `{WALKER}.model_server.name`: `maze` is one of resources_servers, not responses_api_models; "
        "instances of responses_api_models are `policy_model`",
        replace=("name: policy_model", "name: maze"),
    ),
    Mistake(
        "no policy",
        f"maze.yaml: `{WALKER}.model_server.name`: nothing defines `policy_model`; "
        "add responses_api_models/openai_model/configs/openai_model.yaml (any OpenAI endpoint) or "
        "responses_api_models/scripted_model/configs/scripted_model.yaml (no key) to config_paths",
        argv=("+config_paths=[maze.yaml]",),
    ),
    Mistake(
        "an instance whose config was not named",
        f"maze.yaml: `{WALKER}.resources_server.name`: nothing defines `calendar`; "
        "add resources_servers/calendar/configs/calendar.yaml to config_paths",
        replace=("name: maze}", "name: calendar}"),
    ),
    Mistake(
        "a reference deep inside a block",
        f"maze.yaml: `{WALKER}.judges[0].model.name`: there is no instance `judge`; "
        "instances of responses_api_models are `policy_model`",
        replace=("max_steps: 20", "judges: [{model: {type: responses_api_models, name: judge}}]"),
    ),
    Mistake(
        "a reference with a misspelt type",
        f"maze.yaml: `{WALKER}.model_server.type`: `response_api_model` is no server type; "
        "did you mean `responses_api_models`?",
        replace=("type: responses_api_models", "type: response_api_model"),
    ),
    Mistake(
        "a reference without name",
        f"maze.yaml: `{WALKER}.model_server.name`: is missing: the name of an instance, a text",
        replace=(", name: policy_model", ""),
    ),
    Mistake(
        "a reference that is a text",
        f"maze.yaml: `{WALKER}.model_server`: must be a reference: "
        "`model_server: {type: responses_api_models, name: policy_model}`",
        replace=("{type: responses_api_models, name: policy_model}", "policy_model"),
    ),
    # Values
    Mistake(
        "a port that is no number",
        f"maze.yaml: `{MAZE_BLOCK}.port`: must be a number from 1 to 65535, not `80a`; leave it out for a free port",
        replace=("domain: games", "port: 80a"),
    ),
    Mistake(
        "a port out of range",
        f"command line: `{MAZE_BLOCK}.port`: must be a number from 1 to 65535, not `70000`; "
        "leave it out for a free port",
        argv=(BOTH, f"+{MAZE_BLOCK}.port=70000"),
    ),
    Mistake(
        "two instances on one port",
        f"command line: `{WALKER}.port`: 8000 is also the port of `maze`; leave one out for a free port",
        argv=(BOTH, f"+{MAZE_BLOCK}.port=8000", f"+{WALKER}.port=8000"),
    ),
    Mistake(
        "an instance on the head server's port",
        f"command line: `{MAZE_BLOCK}.port`: 8000 is also the port of the head server; leave one out for a free port",
        argv=(BOTH, f"+{MAZE_BLOCK}.port=8000", "+head_server.port=8000"),
    ),
    Mistake(
        "no workers",
        f"command line: `{MAZE_BLOCK}.num_workers`: must be a number of at least 1, not `0`",
        argv=(BOTH, f"+{MAZE_BLOCK}.num_workers=0"),
    ),
    Mistake(
        "a URL for a host",
        f"command line: `{MAZE_BLOCK}.host`: must be a name or address like `127.0.0.1`, without `http://`, "
        "not `http://localhost`",
        argv=(BOTH, f"+{MAZE_BLOCK}.host=http://localhost"),
    ),
    Mistake(
        "an unknown domain",
        f"maze.yaml: `{MAZE_BLOCK}.domain`: `game` is no domain; did you mean `games`?",
        replace=("domain: games", "domain: game"),
    ),
    Mistake(
        "an unknown type of dataset",
        f"maze.yaml: `{WALKER}.datasets[0].type`: `training` is no type of dataset; did you mean `train`?",
        replace=("type: example", "type: training"),
    ),
    Mistake(
        "a missing example file",
        f"maze.yaml: `{WALKER}.datasets[0].jsonl_fpath`: "
        "there is no file `resources_servers/maze/data/examples.jsonl`, here or in the install; "
        "did you mean `resources_servers/maze/data/example.jsonl`?",
        replace=("example.jsonl", "examples.jsonl"),
    ),
    Mistake(
        "a misspelt key of the head server",
        "command line: `head_server.prot`: unknown; did you mean `port`?",
        argv=(BOTH, "+head_server.prot=8000"),
    ),
    Mistake(
        "a range of ports the wrong way round",
        "command line: `port_range_low`: 3000 is above `port_range_high`, 2000",
        argv=(BOTH, "+port_range_low=3000", "+port_range_high=2000"),
    ),
    Mistake(
        "a misspelt top-level key",
        "command line: `defualt_host`: means nothing here; did you mean `default_host`?",
        argv=(BOTH, "+defualt_host=0.0.0.0"),
    ),
    # Overrides
    Mistake(
        "an override of a misspelt key",
        f"command line: `{WALKER}.max_step`: there is no `max_step` in `{WALKER}`; did you mean `max_steps`? "
        f"(to add it, write `+{WALKER}.max_step=…`)",
        argv=(BOTH, f"{WALKER}.max_step=3"),
    ),
    Mistake(
        "an override of a misspelt section",
        "command line: `maze_agnt.responses_api_agents.walker.max_steps`: "
        "there is no `maze_agnt` in the configuration; "
        "did you mean `maze_agent`? (to add it, write `+maze_agnt.responses_api_agents.walker.max_steps=…`)",
        argv=(BOTH, "maze_agnt.responses_api_agents.walker.max_steps=3"),
    ),
    Mistake(
        "an override below a value",
        f"command line: `{WALKER}.max_steps.x`: `{WALKER}.max_steps` is a value and has no keys below it",
        argv=(BOTH, f"+{WALKER}.max_steps.x=3"),
    ),
    Mistake(
        "an index beyond a list",
        f"command line: `{WALKER}.datasets.1.name`: `{WALKER}.datasets` is a list of 1; indices run from 0 to 0",
        argv=(BOTH, f"+{WALKER}.datasets.1.name=x"),
    ),
    Mistake(
        "a removal of what is not there",
        "command line: `nothing`: there is no `nothing` in the configuration; "
        "keys are `config_paths`, `maze`, `maze_agent`, `policy_base_url`, `policy_model`",
        argv=(BOTH, "~nothing"),
    ),
    Mistake(
        "an option in the style of other programs",
        "command line: `--config-paths` is no option: write `+config_paths=…` (one `+`, no dashes)",
        argv=("--config-paths=[maze.yaml]",),
    ),
    Mistake(
        "a file as an argument",
        "command line: `maze.yaml` sets nothing: name config files as in `+config_paths=[maze.yaml]`",
        argv=("maze.yaml",),
    ),
    Mistake(
        "nothing at all",
        "command line: no server is configured; name config files, as in "
        "`+config_paths=[responses_api_models/scripted_model/configs/scripted_model.yaml]`",
        argv=("+seed=1",),
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_in_one_line_and_no_other_is_invented(workplace, mistake: Mistake):
    for name, text in mistake.files.items():
        workplace.write(name, text)
    before, after = mistake.replace
    if before:
        text = (workplace.path / "maze.yaml").read_text()
        assert before in text
        workplace.write("maze.yaml", text.replace(before, after, 1))
    lines = workplace.mistakes(*(mistake.argv or (BOTH,)))
    expected_line = [line for line in lines if line.startswith(mistake.line)]
    assert expected_line, "\n".join(lines)
    follow_on = [line for line in lines if line not in expected_line and "`b`: refers to itself" not in line]
    assert not follow_on, "\n".join(lines)


def test_all_mistakes_are_reported_together(workplace):
    workplace.write("second.yaml", "x: ${nowhere}\nother: {resources_servers: {nope: {entrypoint: app.py, port: 0}}}\n")
    lines = workplace.mistakes(
        "+config_paths=[maze.yaml,model.yaml,second.yaml]",
        "--verbose",
        f"{WALKER}.max_step=3",
        f"+{MAZE_BLOCK}.num_workers=none",
    )
    assert [line.split(":")[0] for line in lines] == [
        "command line",
        "command line",
        "second.yaml",
        "command line",
        "second.yaml",
        "second.yaml",
    ]


def test_several_references_to_one_unknown_instance_are_one_mistake(workplace):
    workplace.write(
        "more.yaml",
        "second: {responses_api_agents: {walker: {entrypoint: app.py, "
        "model_server: {type: responses_api_models, name: policy_model}}}}\n",
    )
    lines = workplace.mistakes("+config_paths=[maze.yaml,more.yaml]")
    assert len(lines) == 1
    assert lines[0].endswith("(1 more refer to it)")


def test_a_key_whose_value_cannot_be_read_is_not_called_unset_too(workplace):
    workplace.write("env.yaml", "")
    assert len(workplace.mistakes(BOTH, "+policy_base_url=http://x/?a=b")) == 1


def test_absences_are_not_reported_while_a_file_cannot_be_read(workplace):
    workplace.write("model.yaml", "policy_model: [\n")
    lines = workplace.mistakes(BOTH, "policy_model.responses_api_models.oracle.port=8000", "+x=${policy_model.y}")
    assert len(lines) == 1
    assert lines[0].startswith("model.yaml: line 1: the file ends before")


def test_a_mistake_in_a_key_names_the_layer_that_set_it_last(workplace):
    workplace.write("ports.yaml", "maze: {resources_servers: {maze: {port: 0}}}\n")
    with pytest.raises(ConfigError) as caught:
        workplace.load("+config_paths=[maze.yaml,model.yaml,ports.yaml]")
    assert [(problem.file, problem.key) for problem in caught.value.problems] == [("ports.yaml", f"{MAZE_BLOCK}.port")]


def test_a_secret_on_a_broken_command_line_is_not_repeated(workplace):
    assert "hunter22" not in "\n".join(workplace.mistakes(BOTH, "+policy_api_key=hunter22(", "--api-key=hunter22"))


def test_a_misspelt_option_of_the_command_is_reported(workplace):
    assert workplace.mistakes(BOTH, "+relaod=true", options={"reload"}) == [
        "command line: `relaod`: means nothing here; did you mean `reload`?"
    ]


def test_a_value_that_something_refers_to_may_resemble_a_known_key(workplace):
    workplace.write("near.yaml", "head_serve: 1\nother: ${head_serve}\n")
    assert workplace.load("+config_paths=[maze.yaml,model.yaml,near.yaml]").values["other"] == 1
