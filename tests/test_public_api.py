"""The names that servers and trainers import: where each is, and how it is called.

The table is a promise. A line may be added; to change or remove one breaks somebody's server, so say why
in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable

import pytest
from pydantic import BaseModel

RESOURCES = "nemo_gym.base_resources_server"
AGENT = "nemo_gym.base_responses_api_agent"
MODEL = "nemo_gym.base_responses_api_model"

NAMES = {
    RESOURCES: """
        SimpleResourcesServer BaseResourcesServerConfig BaseRunRequest BaseVerifyRequest BaseVerifyResponse
        BaseMultiRewardVerifyResponse BaseSeedSessionRequest BaseSeedSessionResponse AggregateMetricsRequest
        AggregateMetrics ReverifyMode NeMoGymResponse
    """,
    AGENT: "SimpleResponsesAPIAgent BaseResponsesAPIAgentConfig Body",
    MODEL: "SimpleResponsesAPIModel BaseResponsesAPIModelConfig Body",
    "nemo_gym.config_types": "ModelServerRef ResourcesServerRef AgentServerRef BaseServerConfig",
    "nemo_gym.judge": "call_judge JudgeError reraise_judge_errors",
    "nemo_gym.prompt": "load_prompt_config fill_prompt PromptConfig",
    "nemo_gym.reward_profile": "compute_pass_majority_metrics compute_subset_metrics highest_k_metrics",
    "nemo_gym.rollout_collection": "RolloutCollectionHelper RolloutCollectionConfig",
    "nemo_gym.openai_utils": """
        NeMoGymResponse NeMoGymResponseCreateParamsNonStreaming NeMoGymResponseOutputMessage NeMoGymResponseOutputText
        NeMoGymResponseOutputRefusal NeMoGymEasyInputMessage NeMoGymResponseFunctionToolCall NeMoGymFunctionCallOutput
        NeMoGymResponseReasoningItem NeMoGymSummary NeMoGymResponseOutputItem NeMoGymChatCompletion
        NeMoGymChatCompletionMessage NeMoGymChoice NeMoGymChatCompletionCreateParamsNonStreaming NeMoGymAsyncOpenAI
        NeMoGymResponseOutputMessageForTraining NeMoGymResponseFunctionToolCallForTraining
        NeMoGymResponseReasoningItemForTraining NeMoGymEasyInputMessageForTraining
        NeMoGymChatCompletionMessageForTraining RESPONSES_TO_TRAIN
    """,
    "nemo_gym.server_utils": """
        ServerClient SimpleServer SESSION_ID_KEY raise_for_status get_response_json request get_server_url
        HEAD_SERVER_KEY_NAME BaseServerConfig get_first_server_config_dict is_nemo_gym_fastapi_worker
    """,
    "nemo_gym.global_config": """
        TASK_INDEX_KEY_NAME ROLLOUT_INDEX_KEY_NAME AGENT_REF_KEY_NAME HEAD_SERVER_KEY_NAME get_first_server_config_dict
        get_global_config_dict find_open_port GlobalConfigDictParserConfig
    """,
    "nemo_gym.cli": "RunHelper GlobalConfigDictParserConfig",
    "nemo_gym.environments": """
        Environment StepResult EnvironmentServer EnvironmentConfig ClassEnvironmentServer ClassEnvironmentConfig
        BaseEnvironment FinalReward TurnLevelReward ProgressReward MultiTurnEnv SingleTurnEnv Rubric
    """,
    "nemo_gym.sandbox": "open_sandbox require_backend Sandbox SandboxLimits CommandResult BACKENDS",
    "nemo_gym.testclient": "InProcessGym",
    "nemo_gym.errors": "NemoGymError ConfigError DataError RequestError BadStatus JudgeError",
}

SIGNATURES = {
    "nemo_gym.environments.Environment.reset": "(self)",
    "nemo_gym.environments.Environment.step": "(self, response)",
    "nemo_gym.environments.Environment.final_reward": "(self)",
    "nemo_gym.environments.Environment.report": "(self)",
    "nemo_gym.environments.Environment.close": "(self)",
    "nemo_gym.environments.EnvironmentServer.make_environment": "(self, row)",
    "nemo_gym.environments.BaseEnvironment.step": "(self, response, ground_truth)",
    "nemo_gym.environments.BaseEnvironment.reset": "(self)",
    "nemo_gym.environments.MultiTurnEnv.is_completed": "(self, messages, state, **kwargs)",
    "nemo_gym.environments.MultiTurnEnv.env_response": "(self, messages, state, **kwargs)",
    f"{RESOURCES}.SimpleResourcesServer.seed_session": "(self, body)",
    f"{RESOURCES}.SimpleResourcesServer.verify": "(self, body)",
    f"{RESOURCES}.SimpleResourcesServer.compute_metrics": "(self, tasks)",
    f"{RESOURCES}.SimpleResourcesServer.get_key_metrics": "(self, agent_metrics)",
    f"{RESOURCES}.SimpleResourcesServer.aggregate_metrics": "(self, body)",
    f"{RESOURCES}.SimpleResourcesServer.setup_webserver": "(self)",
    f"{RESOURCES}.SimpleResourcesServer.run_webserver": "()",
    f"{AGENT}.SimpleResponsesAPIAgent.run": "(self, request, body)",
    f"{AGENT}.SimpleResponsesAPIAgent.responses": "(self, request, body)",
    f"{AGENT}.SimpleResponsesAPIAgent.compute_metrics": "(self, tasks)",
    f"{AGENT}.SimpleResponsesAPIAgent.get_key_metrics": "(self, agent_metrics)",
    f"{AGENT}.SimpleResponsesAPIAgent.aggregate_metrics": "(self, body)",
    f"{MODEL}.SimpleResponsesAPIModel.responses": "(self, request, body)",
    f"{MODEL}.SimpleResponsesAPIModel.chat_completions": "(self, request, body)",
    "nemo_gym.judge.call_judge": (
        "(server_client, server_name, params, *, parse=None, cookies=None, timeout_s=120.0, max_attempts=3)"
    ),
    "nemo_gym.judge.reraise_judge_errors": "(server_name, *, attempts=1)",
    "nemo_gym.judge.JudgeError": "(message, *, server='', attempts=1)",
    "nemo_gym.prompt.load_prompt_config": "(path)",
    "nemo_gym.prompt.fill_prompt": "(prompt_config, row)",
    "nemo_gym.reward_profile.compute_pass_majority_metrics": "(tasks, score_fn=None, answer_key=None)",
    "nemo_gym.reward_profile.compute_subset_metrics": "(tasks, subset_key, score_fn=None, answer_key=None)",
    "nemo_gym.reward_profile.highest_k_metrics": "(agent_metrics, pattern, score_names=None, exclude_names=None)",
    "nemo_gym.server_utils.ServerClient": (
        "(directory=None, http=None, *, global_config_dict=None, head_server_config=None, token=None)"
    ),
    "nemo_gym.server_utils.ServerClient.load_from_global_config": "(head_server_config=None)",
    "nemo_gym.server_utils.ServerClient.post": (
        "(self, server_name, url_path, json=None, *, body=None, params=None, cookies=None, headers=None,"
        " timeout_s=600.0, retry=NO_RETRY, max_bytes=1073741824)"
    ),
    "nemo_gym.server_utils.ServerClient.get": (
        "(self, server_name, url_path, *, params=None, cookies=None, headers=None, timeout_s=600.0, retry=NO_RETRY)"
    ),
    "nemo_gym.server_utils.request": (
        "(method, url, *, json=None, data=None, params=None, headers=None, cookies=None, timeout_s=600.0,"
        " retry=NO_RETRY)"
    ),
    "nemo_gym.server_utils.raise_for_status": "(response)",
    "nemo_gym.server_utils.get_response_json": "(response)",
    "nemo_gym.server_utils.get_server_url": "(server_name)",
    "nemo_gym.global_config.get_global_config_dict": "(global_config_dict_parser_config=None)",
    "nemo_gym.global_config.get_first_server_config_dict": "(global_config_dict, top_level_path)",
    "nemo_gym.global_config.find_open_port": "(disallowed_ports=(), *, host='127.0.0.1')",
    "nemo_gym.openai_utils.NeMoGymAsyncOpenAI": "(*, base_url, api_key='', timeout_s=1800.0)",
    "nemo_gym.openai_utils.NeMoGymAsyncOpenAI.create_response": "(self, **params)",
    "nemo_gym.openai_utils.NeMoGymAsyncOpenAI.create_chat_completion": "(self, **params)",
    "nemo_gym.openai_utils.NeMoGymAsyncOpenAI.create_tokenize": "(self, **params)",
    "nemo_gym.cli.RunHelper.start": "(self, global_config_dict_parser_config=None)",
    "nemo_gym.cli.RunHelper.poll": "(self)",
    "nemo_gym.cli.RunHelper.shutdown": "(self)",
}

FIELDS = {
    f"{RESOURCES}.BaseRunRequest": "responses_create_params",
    f"{RESOURCES}.BaseVerifyRequest": "responses_create_params response",
    f"{RESOURCES}.BaseVerifyResponse": "responses_create_params response reward",
    f"{RESOURCES}.BaseMultiRewardVerifyResponse": "responses_create_params response reward reward_components",
    f"{RESOURCES}.AggregateMetricsRequest": "verify_responses",
    f"{RESOURCES}.AggregateMetrics": "group_level_metrics agent_metrics key_metrics",
    f"{RESOURCES}.SimpleResourcesServer": "config server_client",
    f"{AGENT}.SimpleResponsesAPIAgent": "config server_client",
    f"{MODEL}.SimpleResponsesAPIModel": "config server_client",
    "nemo_gym.config_types.ModelServerRef": "type name",
    "nemo_gym.config_types.BaseServerConfig": (
        "name host port entrypoint domain verified verified_url value description datasets num_workers"
    ),
    "nemo_gym.prompt.PromptConfig": "user system",
}
"""Fields that must be there; others may be."""

CONSTANTS = {
    "nemo_gym.server_utils.SESSION_ID_KEY": "session_id",
    "nemo_gym.server_utils.HEAD_SERVER_KEY_NAME": "head_server",
    "nemo_gym.global_config.TASK_INDEX_KEY_NAME": "_ng_task_index",
    "nemo_gym.global_config.ROLLOUT_INDEX_KEY_NAME": "_ng_rollout_index",
    "nemo_gym.global_config.AGENT_REF_KEY_NAME": "agent_ref",
}


def find(dotted: str) -> object:
    """The object at `package.module.Class.method`."""
    module = next(name for name in NAMES if dotted.startswith(f"{name}."))
    found: object = importlib.import_module(module)
    for part in dotted.removeprefix(f"{module}.").split("."):
        found = getattr(found, part)
    return found


def signature_of(function: Callable[..., object]) -> str:
    """Parameters with their defaults, without types."""
    parameters = inspect.signature(function).parameters.values()
    bare = inspect.Signature([each.replace(annotation=inspect.Parameter.empty) for each in parameters])
    return re.sub(r"RetryPolicy\(max_attempts=1,[^)]*\)", "NO_RETRY", str(bare))


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_where_it_is_imported_from(module: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(loaded, name)] == []


@pytest.mark.parametrize("dotted", SIGNATURES)
def test_a_function_is_called_as_promised(dotted: str) -> None:
    function = find(dotted)
    assert callable(function)
    assert signature_of(function) == SIGNATURES[dotted]


@pytest.mark.parametrize("dotted", FIELDS)
def test_a_model_has_its_fields(dotted: str) -> None:
    model = find(dotted)
    assert isinstance(model, type) and issubclass(model, BaseModel)
    assert [name for name in FIELDS[dotted].split() if name not in model.model_fields] == []


@pytest.mark.parametrize("dotted", CONSTANTS)
def test_a_constant_has_its_value(dotted: str) -> None:
    assert find(dotted) == CONSTANTS[dotted]


@pytest.mark.parametrize("door", ["openai_utils", "server_utils", "global_config", "reward_profile"])
def test_a_door_exports_everything_it_lists(door: str) -> None:
    module = importlib.import_module(f"nemo_gym.{door}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
