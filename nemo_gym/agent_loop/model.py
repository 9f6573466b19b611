"""The policy as the loop sees it: one method, and its implementation over a model server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from nemo_gym.agent_loop.abilities import ModelAbilities
from nemo_gym.agent_loop.failure import EpisodeFailure, refusal_text
from nemo_gym.base_responses_api_model import IDEMPOTENCY_HEADER, PREVIOUS_NOT_FOUND
from nemo_gym.errors import BadBody, RequestError
from nemo_gym.schemas.responses import OutputItem
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER, FailureClass
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.serving.server_client import ServerClient

_OUTPUT = TypeAdapter(list[OutputItem])
_OVERFLOW_SIGNS = (b"context_length_exceeded", b"maximum context length")
_FORGOTTEN = PREVIOUS_NOT_FOUND.encode()
_TIMEOUT_STATUSES = frozenset({408, 504})


class Model(Protocol):
    """Answers one model call."""

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        """The Responses API answer to a Responses API request. Raises `EpisodeFailure`."""
        ...


class RemoteModel:
    """A model server of the run, as one rollout sees it. Keeps its cookies, so that the rollout stays with one replica.

    To a model server that remembers conversations it sends only what came since the last answer. Where that one has
    forgotten, as after a new start, the whole conversation is sent once more, tokens included.
    """

    def __init__(
        self,
        client: ServerClient,
        server_name: str,
        *,
        rollout_id: str,
        timeout_s: float,
        retry: RetryPolicy,
        abilities: ModelAbilities,
        cookies: dict[str, str] | None = None,
    ) -> None:
        self.client, self.server_name, self.timeout_s, self.retry = client, server_name, timeout_s, retry
        self.cookies = dict(cookies or {})
        self._abilities = abilities
        self._headers = {ROLLOUT_ID_HEADER: rollout_id}
        self._call_stem, self._calls = uuid.uuid4().hex, 0
        self._told: _Told | None = None

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        remembers = await self._abilities.remembers_conversations(self.server_name)
        try:
            answer = await self._post(self._since_last(params) if remembers else params, remembers)
            if self._told is not None and answer.status == 400 and _FORGOTTEN in answer.body:
                self._told = None
                answer = await self._post(params, remembers)
            if not answer.ok:
                raise self._refusal(answer)
            response = checked_response(answer.parse(), self.server_name)
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
        if remembers:
            self._told = _Told.after(params, response)
        return response

    async def _post(self, params: dict[str, Any], remembers: bool) -> HttpResponse:
        self._calls += 1
        # A call that may have been processed is sent again only where it would be answered as it was.
        again = {IDEMPOTENCY_HEADER: f"{self._call_stem}/{self._calls}"} if remembers else {}
        with waiting_for(self.server_name, f"model call {self._calls}"):
            answer = await self.client.post(
                self.server_name,
                "/v1/responses",
                params,
                cookies=self.cookies,
                headers={**self._headers, **again},
                timeout_s=self.timeout_s,
                retry=replace(self.retry, retry_delivered=True) if remembers else self.retry,
            )
        self.cookies.update(answer.cookies)
        return answer

    def _since_last(self, params: dict[str, Any]) -> dict[str, Any]:
        """The request without what the model server was told before."""
        told, items = self._told, params["input"]
        if told is None or params.get("continue_final_message") or not told.begins(items):
            self._told = None
            return params
        return {**params, "input": items[told.count :], "previous_response_id": told.response_id}

    def _refusal(self, answer: HttpResponse) -> EpisodeFailure:
        if answer.status == 400 and any(sign in answer.body for sign in _OVERFLOW_SIGNS):
            kind = FailureClass.CONTEXT_OVERFLOW
        elif answer.status in _TIMEOUT_STATUSES:
            kind = FailureClass.MODEL_TIMEOUT
        else:
            kind = FailureClass.MODEL_ERROR
        return EpisodeFailure(kind, "model", refusal_text(answer), server=self.server_name)


@dataclass(frozen=True)
class _Told:
    """What a model server knows of a conversation."""

    response_id: str
    count: int
    """Items: what it was sent, and its answer."""
    last: dict[str, Any]

    @classmethod
    def after(cls, params: dict[str, Any], response: dict[str, Any]) -> _Told | None:
        """None where nothing can be gone on from."""
        asked, answered = params["input"], response["output"]
        if isinstance(asked, str) or not answered or not response.get("id"):
            return None
        return cls(response["id"], len(asked) + len(answered), answered[-1])

    def begins(self, items: list[dict[str, Any]]) -> bool:
        """Whether that conversation goes on with more: it holds the very items, which nobody changes."""
        return len(items) > self.count and items[self.count - 1] is self.last


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
            mistake = "; ".join(f"output{line if line.startswith('[') else f': {line}'}" for line in explain(error)[:3])
    raise EpisodeFailure(FailureClass.MODEL_ERROR, "model", mistake, server=server_name)
