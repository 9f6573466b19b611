"""Mistakes in YAML files, on the command line and with ports: typical ones, for tests/config has them all."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.mistakes.mistake import Mistake
from tests.mistakes.project import AGENT_YAML, MODEL_YAML, QUIZ_YAML

RUN_ALL = 'ng_run "+config_paths=[quiz.yaml,agent.yaml,model.yaml]"'
QUIZ = "quiz.resources_servers.quiz"
RUN_QUIZ = 'ng_run "+config_paths=[quiz.yaml]"'
OPENAI_MODEL = "responses_api_models/openai_model/configs/openai_model.yaml"


@contextmanager
def port_taken(folder: Path) -> Iterator[Mapping[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield {"port": str(other.getsockname()[1])}


CONFIGURATION = (
    Mistake(
        "a command without a configuration",
        "ng_run",
        says=("config_paths",),
    ),
    Mistake(
        "a config file given without +config_paths",
        "ng_run quiz.yaml",
        says=("command line: `quiz.yaml`", "name config files as in `+config_paths=[quiz.yaml]`"),
    ),
    Mistake(
        "a config file that is not there",
        'ng_run "+config_paths=[quizz.yaml]"',
        says=("quizz.yaml", "did you mean `quiz.yaml`?"),
    ),
    Mistake(
        "bad YAML",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML.replace("domain: knowledge", "domain: knowledge: hard")},
        says=("quiz.yaml: line 5",),
    ),
    Mistake(
        "a misspelt server type",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML.replace("resources_servers", "resource_servers")},
        says=("quiz.yaml: `quiz.resource_servers`", "did you mean `resources_servers`?"),
    ),
    Mistake(
        "a missing key",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML.replace("      entrypoint: app.py\n", "")},
        says=("quiz.yaml: `quiz.resources_servers.quiz.entrypoint`: is missing", "`entrypoint: app.py`"),
    ),
    Mistake(
        "a folder that is not there",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML.replace("    quiz:\n", "    quizz:\n")},
        says=("quiz.yaml: `quiz.resources_servers.quizz`", "did you mean `quiz`?"),
    ),
    Mistake(
        "a server's name that is misspelt",
        RUN_ALL,
        files={"agent.yaml": AGENT_YAML.replace("policy_model", "polcy_model")},
        says=("agent.yaml: `quiz_agent.", "there is no instance `polcy_model`; did you mean `policy_model`?"),
    ),
    Mistake(
        "a policy that nothing defines",
        'ng_run "+config_paths=[quiz.yaml,agent.yaml]"',
        says=("agent.yaml: `quiz_agent.", "nothing defines `policy_model`", OPENAI_MODEL),
    ),
    Mistake(
        "two servers of one name",
        'ng_run "+config_paths=[quiz.yaml,other.yaml]"',
        files={
            "resources_servers/other/app.py": "",
            "other.yaml": QUIZ_YAML.replace("    quiz:\n", "    other:\n"),
        },
        says=("other.yaml: `quiz.resources_servers.other`", "`quiz` is already defined in quiz.yaml"),
    ),
    Mistake(
        "a reference to a key that is not set",
        f'ng_run "+config_paths=[quiz.yaml,agent.yaml,{OPENAI_MODEL}]"',
        says=(
            "openai_model.yaml: `policy_model.",
            "put `policy_base_url: …` into env.yaml",
            "policy_api_key",
            "policy_model_name",
        ),
    ),
    Mistake(
        "a misspelt reference",
        RUN_ALL + " +policy_speed=3",
        files={"model.yaml": MODEL_YAML + "      seed: ${policy_sped}\n"},
        says=("model.yaml: `policy_model.", "did you mean `policy_speed`?"),
    ),
    Mistake(
        "references that go round in a circle",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML + "one: ${two}\ntwo: ${one}\n"},
        says=("quiz.yaml: `one`: refers to itself",),
    ),
    Mistake(
        "an environment variable that is not set",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML + "      hints: ${oc.env:QUIZ_HINTS}\n"},
        says=("quiz.yaml: `quiz.resources_servers.quiz.hints`", "QUIZ_HINTS is not set", "${oc.env:QUIZ_HINTS,…}"),
    ),
    Mistake(
        "a ??? that nobody set",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML + "      hints: ???\n"},
        says=("quiz.yaml: `quiz.resources_servers.quiz.hints`: must be set", "+quiz.resources_servers.quiz.hints=…"),
    ),
    Mistake(
        "an override of a server that is misspelt",
        RUN_QUIZ + " ++quizz.resources_servers.quiz.hints=1",
        says=("command line: `quizz.resources_servers.quiz`", "did you mean `quiz`?"),
    ),
    Mistake(
        "an override that cannot be read",
        RUN_QUIZ + " '+quiz.resources_servers.quiz.hints=[1,'",
        says=("command line", "hints"),
    ),
    Mistake(
        "a port that is taken",
        RUN_QUIZ + " ++quiz.resources_servers.quiz.port={port}",
        circumstance=port_taken,
        says=("command line: `quiz.resources_servers.quiz.port`: port", "is taken by python", "leave it out"),
    ),
    Mistake(
        "one port for two servers",
        RUN_ALL
        + " ++quiz.resources_servers.quiz.port=8099 ++policy_model.responses_api_models.scripted_model.port=8099",
        says=("command line: `", ".port`", "8099"),
    ),
    Mistake(
        "a config to print that is wrong",
        'ng_dump_config "+config_paths=[agent.yaml]"',
        says=("nothing defines `policy_model`",),
    ),
)
