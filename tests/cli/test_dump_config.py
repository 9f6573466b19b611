"""`ng_dump_config` as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

MODEL = """\
policy_model:
  responses_api_models:
    stub:
      entrypoint: app.py
      base_url: ${policy_base_url}
      api_key: ${policy_api_key}
"""


def dump(cwd: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    code = "from nemo_gym.cli.dump_config import main; main()"
    return subprocess.run([sys.executable, "-c", code, *argv], cwd=cwd, capture_output=True, text=True, check=False)


def workplace(path: Path) -> Path:
    (path / "model.yaml").write_text(MODEL)
    (path / "env.yaml").write_text("policy_base_url: http://me:hunter22@host/v1\npolicy_api_key: sk-planted-secret\n")
    folder = path / "responses_api_models/stub"
    folder.mkdir(parents=True)
    (folder / "app.py").touch()
    return path


def test_the_merged_configuration_is_printed_as_yaml_without_secrets(tmp_path):
    result = dump(workplace(tmp_path), "+config_paths=[model.yaml]", "+note='uses sk-planted-secret'")
    assert result.returncode == 0, result.stderr
    assert "planted" not in result.stdout
    assert "hunter22" not in result.stdout
    values = yaml.safe_load(result.stdout)
    assert values["policy_model"]["responses_api_models"]["stub"] == {
        "entrypoint": "app.py",
        "base_url": "http://***@host/v1",
        "api_key": "***",
    }
    assert values["note"] == "uses ***"


def test_a_wrong_configuration_prints_its_mistakes_and_nothing_else(tmp_path):
    result = dump(workplace(tmp_path), "+config_paths=[modl.yaml]", "--verbose")
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 2
    assert not (tmp_path / "outputs").exists(), "Hydra's own output folder"


def test_help_shows_an_example(tmp_path):
    result = dump(tmp_path, "--help")
    assert result.returncode == 0
    assert "  ng_dump_config \\\n" in result.stdout and '"+config_paths=[' in result.stdout
