"""A small project in which everything is right, for mistakes to be made in: one environment, one agent, some models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.e2e.documents import running
from tests.mistakes.endpoint import endpoint_answering, free_port

APP = '''\
"""quiz: is the answer the expected one?"""

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)


class QuizConfig(BaseResourcesServerConfig):
    case_sensitive: bool = False
    hints: int = 0


class QuizVerifyRequest(BaseVerifyRequest):
    expected: str


class QuizResourcesServer(SimpleResourcesServer):
    config: QuizConfig

    async def verify(self, body: QuizVerifyRequest) -> BaseVerifyResponse:
        right = body.response.output_text == body.expected
        return BaseVerifyResponse(**body.model_dump(), reward=float(right))


if __name__ == "__main__":
    QuizResourcesServer.run_webserver()
'''

CARELESS_APP = '''\
"""careless: an environment whose verify() does what the row says, all of it wrong."""

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)


class CarelessResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    async def verify(self, body: BaseVerifyRequest):
        match body.model_dump()["how"]:
            case "gives":
                return BaseVerifyResponse(**body.model_dump(), reward=float("nan"))
            case "forgets":
                return BaseVerifyResponse(**body.model_dump())
            case "sends":
                return {"correct": True}
            case "raises":
                return {}["yes"]


if __name__ == "__main__":
    CarelessResourcesServer.run_webserver()
'''

POLICIES = '''\
"""Says yes."""


def yes(turn):
    return "yes"
'''

QUIZ_YAML = """\
quiz:
  resources_servers:
    quiz:
      entrypoint: app.py
      domain: knowledge
      case_sensitive: true
"""

AGENT_YAML = """\
quiz_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      max_steps: 3
      resources_server: {type: resources_servers, name: quiz}
      model_server: {type: responses_api_models, name: policy_model}
"""

MODEL_YAML = """\
policy_model:
  responses_api_models:
    scripted_model:
      entrypoint: app.py
      policy: policies.py:yes
"""

ROW = '{"responses_create_params": {"input": "Yes?"}, "expected": "yes"}\n'

FILES: Mapping[str, str] = {
    "resources_servers/quiz/app.py": APP,
    "policies.py": POLICIES,
    "quiz.yaml": QUIZ_YAML,
    "agent.yaml": AGENT_YAML,
    "model.yaml": MODEL_YAML,
    "rows.jsonl": ROW * 20,
}

KEY = "sk-not-the-right-one"
NO_SUCH_MODEL = "gpt-none"


def write_files(folder: Path, files: Mapping[str, str | None]) -> None:
    """Write these files below `folder`; None removes one."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@contextmanager
def running_project(folder: Path) -> Iterator[None]:
    """The project's servers, with models behind endpoints that are down, refuse the key or have no such model.

    All in one process, which starts sooner.
    """
    with ExitStack() as endpoints:
        refusing = endpoints.enter_context(endpoint_answering(401, f"Incorrect API key provided: {KEY}."))
        lacking = endpoints.enter_context(endpoint_answering(404, f"The model `{NO_SUCH_MODEL}` does not exist"))
        down = f"http://127.0.0.1:{free_port()}/v1"
        models = {"down_model": down, "refusing_model": refusing, "lacking_model": lacking}
        agents = {"careless_agent": ("careless", "policy_model")}
        agents |= {f"{model.removesuffix('_model')}_agent": ("quiz", model) for model in models}
        many = "careless: {resources_servers: {careless: {entrypoint: app.py}}}\n"
        many += "".join(map(_model_yaml, models, models.values()))
        many += "".join(_agent_yaml(name, *servers) for name, servers in agents.items())
        write_files(folder, {**FILES, "resources_servers/careless/app.py": CARELESS_APP, "many.yaml": many})
        endpoints.enter_context(
            running('ng_run "+config_paths=[quiz.yaml,agent.yaml,model.yaml,many.yaml]" +in_process=true', folder)
        )
        yield


def _model_yaml(name: str, url: str) -> str:
    settings = f"openai_base_url: '{url}', openai_api_key: {KEY}, openai_model: {NO_SUCH_MODEL}, max_attempts: 2"
    return f"{name}: {{responses_api_models: {{openai_model: {{entrypoint: app.py, {settings}}}}}}}\n"


def _agent_yaml(name: str, environment: str, model: str) -> str:
    environment_ref = f"resources_server: {{type: resources_servers, name: {environment}}}"
    model_ref = f"model_server: {{type: responses_api_models, name: {model}}}"
    settings = f"entrypoint: app.py, {environment_ref}, {model_ref}"
    return f"{name}: {{responses_api_agents: {{simple_agent: {{{settings}}}}}}}\n"
