"""The policy as the loop sees it: one method, and its implementation over a model server."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from nemo_gym.agent_loop.failure import EpisodeFailure, refusal_text
from nemo_gym.base_responses_api_model import CAPABILITIES_ROUTE
from nemo_gym.errors import BadBody, LaunchError, RequestError
from nemo_gym.schemas.responses import OutputItem
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER, FailureClass
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.server_client import ServerClient

_OUTPUT = TypeAdapter(list[OutputItem])
_OVERFLOW_SIGNS = (b"context_length_exceeded", b"maximum context length")
CAPABILITIES_TIMEOUT_S = 60.0
"""Model servers may start at the same time; those that load weights must not be waited for much longer."""
_TIMEOUT_STATUSES = frozenset({408, 504})


class Model(Protocol):
    """Answers one model call."""

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        """The Responses API answer to a Responses API request. Raises `EpisodeFailure`."""
        ...


class RemoteModel:
    """A model server of the run. Keeps its cookies, so that a rollout stays with one replica."""

    def __init__(
        self,
        client: ServerClient,
        server_name: str,
        *,
        rollout_id: str,
        timeout_s: float,
        retry: RetryPolicy,
        cookies: dict[str, str] | None = None,
    ) -> None:
        self.client, self.server_name, self.timeout_s, self.retry = client, server_name, timeout_s, retry
        self.cookies = dict(cookies or {})
        self._headers = {ROLLOUT_ID_HEADER: rollout_id}

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self.client.post(
                self.server_name,
                "/v1/responses",
                params,
                cookies=self.cookies,
                headers=self._headers,
                timeout_s=self.timeout_s,
                retry=self.retry,
            )
            self.cookies.update(answer.cookies)
            if not answer.ok:
                raise self._refusal(answer)
            return checked_response(answer.parse(), self.server_name)
        except BadBody as error:
            raise EpisodeFailure(FailureClass.MODEL_ERROR, "model", str(error), server=self.server_name) from error
        except RequestError as error:
            raise EpisodeFailure.of_request(
                error,
                "model",
                self.server_name,
                timed_out=FailureClass.MODEL_TIMEOUT,
                otherwise=FailureClass.MODEL_ERROR,
            ) from error

    def _refusal(self, answer: HttpResponse) -> EpisodeFailure:
        if answer.status == 400 and any(sign in answer.body for sign in _OVERFLOW_SIGNS):
            kind = FailureClass.CONTEXT_OVERFLOW
        elif answer.status in _TIMEOUT_STATUSES:
            kind = FailureClass.MODEL_TIMEOUT
        else:
            kind = FailureClass.MODEL_ERROR
        return EpisodeFailure(kind, "model", refusal_text(answer), server=self.server_name)


def checked_response(response: Any, server_name: str) -> dict[str, Any]:
    """The answer, if the loop can use it: an object, no `error`, a list of known items. Checked once, here."""
    if not isinstance(response, dict):
        mistake = "the answer is no JSON object"
    elif response.get("error"):
        mistake = f"the model reports an error: {response['error']}"
    else:
        try:
            _OUTPUT.validate_python(response.get("output"))
            return response
        except ValidationError as error:
            mistake = "; ".join(f"output{line}" for line in explain(error)[:3])
    raise EpisodeFailure(FailureClass.MODEL_ERROR, "model", mistake, server=server_name)


async def require_continuation(client: ServerClient, server_name: str) -> None:
    """Raises `LaunchError` where the model server cannot continue an assistant message."""
    answer = await client.get(server_name, CAPABILITIES_ROUTE, timeout_s=CAPABILITIES_TIMEOUT_S)
    known = answer.parse() if answer.ok else {}
    if not isinstance(known, dict) or known.get("continue_final_message") is not True:
        raise LaunchError(
            f"`use_conversation_multi_turn: false` is not supported by the model server `{server_name}`: it cannot "
            "continue an assistant message; set it to true, or use vllm_model before an engine that can"
        )
