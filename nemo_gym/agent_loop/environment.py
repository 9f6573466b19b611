"""The environment as the loop sees it: a resources server's session, from seed or reset to verify or close."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nemo_gym.agent_loop.failure import EpisodeFailure, refusal_text
from nemo_gym.agent_loop.routes import Routes
from nemo_gym.errors import AnswerTooLarge, BadBody, RequestError
from nemo_gym.schemas.responses import InputItem
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER, FailureClass
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, HttpResponse
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.serving.server_client import ServerClient

CLOSE_TIMEOUT_S = 5.0
NOBODYS_ROUTE = "/no_server_has_a_route_of_this_name"
_TIMED_OUT = {"tool": FailureClass.TOOL_ERROR, "verify": FailureClass.VERIFY_ERROR}
_ITEMS = TypeAdapter(list[InputItem])


@dataclass(frozen=True)
class Step:
    """What an environment made of one model call."""

    observation: list[dict[str, Any]]
    """What it says next, as input items."""
    reward: float
    terminated: bool
    truncated: bool
    tool_outputs: dict[str, Any]
    """By `call_id`, for the tool calls that it answered itself."""
    info: dict[str, Any]


class RemoteEnvironment:
    """One session of a resources server. Cookies are merged, never replaced, so no error answer can lose it."""

    def __init__(
        self,
        client: ServerClient,
        server_name: str,
        *,
        rollout_id: str,
        tool_timeout_s: float,
        verify_timeout_s: float,
        retry: RetryPolicy,
        max_tool_output_bytes: int = MAX_ANSWER_BYTES,
        cookies: dict[str, str] | None = None,
        routes: Routes | None = None,
    ) -> None:
        """`verify_timeout_s` is the deadline of all routes but those of tools. `routes` remembers what servers offer
        from one rollout to the next.
        """
        self.client, self.server_name, self.retry = client, server_name, retry
        self.routes = routes or Routes(client)
        self.tool_timeout_s, self.verify_timeout_s = tool_timeout_s, verify_timeout_s
        self.max_tool_output_bytes = max_tool_output_bytes
        self.cookies = dict(cookies or {})
        self._headers = {ROLLOUT_ID_HEADER: rollout_id}
        self._open = False

    async def seed(self, row: dict[str, Any]) -> None:
        """Start the session."""
        answer = await self._post("/seed_session", row, "seed_session", self.verify_timeout_s)
        self._open = True
        if not answer.ok:
            raise self._refusal(answer, "seed_session", FailureClass.RESOURCES_ERROR)

    async def offers_turns(self) -> bool:
        """Whether the server talks back. A route that takes any path, as tools may have, says nothing of these two."""
        if not (await self._offers("/reset", "reset") and await self._offers("/step", "reset")):
            return False
        return not await self._offers(NOBODYS_ROUTE, "reset")

    async def offers_tool(self, name: str) -> bool:
        """Whether the tool has a route of its own; else, with turns, `/step` answers it."""
        return await self._offers(f"/{name}", "tool")

    async def reset(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Start the session of an environment with turns; returns what it says first, as input items."""
        answer = await self._post("/reset", row, "reset", self.verify_timeout_s)
        self._open = True
        if not answer.ok:
            raise self._refusal(answer, "reset", FailureClass.RESOURCES_ERROR)
        return self._observation(self._object(answer, "reset"), "reset")

    async def step(self, row: dict[str, Any], response: dict[str, Any]) -> Step:
        """What the environment makes of one model call."""
        answer = await self._post("/step", {**row, "response": response}, "step", self.verify_timeout_s)
        if not answer.ok:
            raise self._refusal(answer, "step", FailureClass.RESOURCES_ERROR)
        body = self._object(answer, "step")
        reward, info = _finite(body.get("reward")), body.get("info") or {}
        if reward is None:
            what = f"the `reward` of /step is {body.get('reward')!r:.50}; it must be a finite number"
            raise self._wrong("step", what)
        if not isinstance(info, dict):
            raise self._wrong("step", f"the `info` of /step must be an object, is {info!r:.50}")
        try:
            outputs = {entry["call_id"]: entry["output"] for entry in info.get("tool_outputs") or ()}
        except (TypeError, KeyError):
            raise self._wrong("step", "`info.tool_outputs` of /step must be a list of {call_id, output}") from None
        return Step(
            observation=self._observation(body, "step"),
            reward=reward,
            terminated=body.get("terminated") is True,
            truncated=body.get("truncated") is True,
            tool_outputs=outputs,
            info={key: value for key, value in info.items() if key != "tool_outputs"},
        )

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        """The tool's answer as text, whatever its status."""
        most = self.max_tool_output_bytes
        return (await self._post(f"/{name}", arguments, "tool", self.tool_timeout_s, max_bytes=most)).text

    async def verify(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verify answer, with a finite `reward`. Ends the session."""
        answer = await self._post("/verify", request, "verify", self.verify_timeout_s)
        if not answer.ok:
            raise self._refusal(answer, "verify", FailureClass.VERIFY_ERROR)
        self._open = False
        verified = answer.parse()
        if not isinstance(verified, dict) or _finite(verified.get("reward")) is None:
            what = _reward_problem(verified)
            raise EpisodeFailure(FailureClass.VERIFY_ERROR, "verify", what, server=self.server_name)
        return verified

    async def close(self) -> None:
        """Free the session, if it is still open. Best effort: the server frees idle sessions by itself."""
        if not self._open:
            return
        self._open = False
        try:
            await self.client.post(
                self.server_name, "/close", {}, cookies=self.cookies, headers=self._headers, timeout_s=CLOSE_TIMEOUT_S
            )
        except RequestError:
            return

    async def _offers(self, path: str, stage: str) -> bool:
        try:
            return await self.routes.has(self.server_name, path, self.retry)
        except RequestError as error:
            raise self._unanswered(error, stage) from error

    def _object(self, answer: HttpResponse, stage: str) -> dict[str, Any]:
        try:
            body = answer.parse()
        except BadBody as error:
            raise self._wrong(stage, str(error)) from error
        if not isinstance(body, dict):
            raise self._wrong(stage, f"the answer of /{stage} is no JSON object")
        return body

    def _observation(self, body: dict[str, Any], stage: str) -> list[dict[str, Any]]:
        """What the environment says, as input items: text is one user message."""
        said = body.get("observation")
        if said is None:
            return []
        try:
            return [{"role": "user", "content": said}] if isinstance(said, str) else _checked_items(said)
        except ValidationError as error:
            mistakes = "; ".join(f"observation{line}" for line in explain(error)[:3])
            raise self._wrong(
                stage, f"the `observation` of /{stage} is no text and no list of items: {mistakes}"
            ) from error

    def _wrong(self, stage: str, message: str) -> EpisodeFailure:
        return EpisodeFailure(FailureClass.RESOURCES_ERROR, stage, message, server=self.server_name)

    def _unanswered(self, error: RequestError, stage: str) -> EpisodeFailure:
        timed_out = _TIMED_OUT.get(stage, FailureClass.RESOURCES_ERROR)
        too_large = stage == "tool" and isinstance(error, AnswerTooLarge)
        otherwise = FailureClass.TOOL_ERROR if too_large else FailureClass.RESOURCES_ERROR
        return EpisodeFailure.of_request(error, stage, self.server_name, timed_out=timed_out, otherwise=otherwise)

    async def _post(
        self, path: str, body: dict[str, Any], stage: str, timeout_s: float, max_bytes: int = MAX_ANSWER_BYTES
    ) -> HttpResponse:
        what = f"tool {path[1:]}" if stage == "tool" else stage
        try:
            with waiting_for(self.server_name, what):
                answer = await self.client.post(
                    self.server_name,
                    path,
                    body,
                    cookies=self.cookies,
                    headers=self._headers,
                    timeout_s=timeout_s,
                    retry=self.retry,
                    max_bytes=max_bytes,
                )
        except RequestError as error:
            raise self._unanswered(error, stage) from error
        self.cookies.update(answer.cookies)
        return answer

    def _refusal(self, answer: HttpResponse, stage: str, otherwise: FailureClass) -> EpisodeFailure:
        """What an answer of 400 or above means: 422 is the row's mistake (not at a step); judges are named."""
        kind = otherwise
        try:
            if answer.parse()["error"]["type"] == "JudgeError":
                kind = FailureClass.JUDGE_FAILED
        except (BadBody, KeyError, TypeError):
            pass
        if answer.status == 410:
            kind = FailureClass.RESOURCES_ERROR
        if answer.status == 422 and stage != "step":
            kind = FailureClass.BAD_ROW
        return EpisodeFailure(kind, stage, refusal_text(answer), server=self.server_name)


def _checked_items(said: Any) -> list[dict[str, Any]]:
    _ITEMS.validate_python(said)
    items: list[dict[str, Any]] = said
    return items


def _finite(reward: object) -> float | None:
    """The reward if it is one."""
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        return None
    return reward


def _reward_problem(verified: object) -> str:
    """Why a verify answer holds no reward that counts."""
    if not isinstance(verified, dict):
        return "the answer of verify() is no JSON object"
    if "reward" not in verified:
        return "the answer of verify() has no `reward`"
    if verified["reward"] is None:
        return "the `reward` of verify() is null, which is also how NaN and infinity arrive; it must be a finite number"
    return f"the `reward` of verify() is {verified['reward']!r:.50}; it must be a finite number"
