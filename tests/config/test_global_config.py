"""The run's configuration by function: what a server, a trainer and a bare program get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_gym.config.global_config import (
    get_first_server_config_dict,
    get_global_config_dict,
    known_global_config,
    set_global_config,
)
from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.errors import ConfigError, Unreachable
from nemo_gym.server_utils import ServerClient, get_server_url
from nemo_gym.serving.runs import RunFolder

RUN = {
    "head_server": {"host": "127.0.0.1", "port": 11000},
    "policy_api_key": "secret",
    "judge": {"responses_api_models": {"openai_model": {"host": "127.0.0.1", "port": 9001, "temperature": 0.5}}},
    "calendar": {"resources_servers": {"calendar": {"host": "127.0.0.1", "port": 9002}}},
    "not_yet_placed": {"resources_servers": {"calendar": {"entrypoint": "app.py"}}},
}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = known_global_config()
    yield
    set_global_config(before)


def test_a_process_of_a_run_gets_the_runs_configuration() -> None:
    set_global_config(RUN)
    config = get_global_config_dict()
    assert config.policy_api_key == "secret" and config["head_server"]["port"] == 11000
    judge = get_first_server_config_dict(config, "judge")
    assert judge.temperature == 0.5 and f"http://{judge['host']}:{judge['port']}" == get_server_url("judge")


def test_an_instance_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `judge`"):
        get_first_server_config_dict(RUN, "jugde")


def test_a_program_that_belongs_to_no_run_reads_what_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_global_config(None)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "resources_servers" / "maze"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("")
    initial = {"maze": {"resources_servers": {"maze": {"entrypoint": "app.py"}}}, "size": 3, "twice": "${size}"}
    parser = GlobalConfigDictParserConfig(initial_global_config_dict=initial, skip_load_from_cli=True)
    assert get_global_config_dict(parser).twice == 3
    assert get_global_config_dict().size == 3, "remembered"


def test_a_client_can_be_made_of_a_configuration() -> None:
    client = ServerClient(global_config_dict=RUN)
    assert client.url_of("calendar") == "http://127.0.0.1:9002"
    assert list(client.directory) == ["judge", "calendar"]
    assert client.head_server_config is not None and client.head_server_config.port == 11000
    assert client.global_config_dict.judge.responses_api_models.openai_model.temperature == 0.5


def test_a_client_of_this_processs_run_needs_nothing() -> None:
    set_global_config(RUN)
    assert ServerClient.load_from_global_config().url_of("judge") == "http://127.0.0.1:9001"


def test_a_client_made_of_addresses_tells_these_as_its_configuration() -> None:
    whole = ServerClient(global_config_dict=RUN)
    config = ServerClient(whole.directory).global_config_dict
    assert get_first_server_config_dict(config, "calendar") == {"host": "127.0.0.1", "port": 9002}


def test_a_program_of_no_run_is_told_that_no_head_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_global_config(None)
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.create(tmp_path)
    folder.record("http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="no head server answers"):
        ServerClient.load_from_global_config()
    folder.close()
