"""docs/configuration.md says what is so: its example loads, its command runs, its tables list the right words."""

from __future__ import annotations

import re
import shlex

from nemo_gym.cli.dump_config import dump_config
from nemo_gym.config.declarations import PLAIN_KEYS
from nemo_gym.config.places import INSTALL_ROOT
from nemo_gym.config.preflight import DATASET_TYPES, DOMAINS

PAGE = (INSTALL_ROOT / "docs/configuration.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_configuration_loads(workplace):
    workplace.write("example.yaml", block("yaml"))
    instances = workplace.load("+config_paths=[example.yaml,model.yaml]").instances
    assert list(instances) == ["calendar", "calendar_simple_agent", "policy_model"]


def test_the_example_command_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    command, *argv = shlex.split(block("bash"))
    assert command == "ng_dump_config"
    assert dump_config(argv) == 0
    assert "policy_model:" in capsys.readouterr().out


def test_every_word_with_a_meaning_is_listed():
    assert [word for word in (*PLAIN_KEYS, *DOMAINS, *DATASET_TYPES) if f"`{word}`" not in PAGE] == []
