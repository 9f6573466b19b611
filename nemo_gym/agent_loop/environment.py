"""The environment as the loop sees it: a resources server's session, from seed to verify or close."""

from __future__ import annotations

import math
from typing import Any

from nemo_gym.agent_loop.failure import EpisodeFailure, refusal_text
from nemo_gym.errors import BadBody, RequestError
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER, FailureClass
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.server_client import ServerClient

CLOSE_TIMEOUT_S = 5.0


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
        cookies: dict[str, str] | None = None,
    ) -> None:
        self.client, self.server_name, self.retry = client, server_name, retry
        self.tool_timeout_s, self.verify_timeout_s = tool_timeout_s, verify_timeout_s
        self.cookies = dict(cookies or {})
        self._headers = {ROLLOUT_ID_HEADER: rollout_id}
        self._open = False

    async def seed(self, row: dict[str, Any]) -> None:
        """Start the session."""
        answer = await self._post("/seed_session", row, "seed_session", self.verify_timeout_s)
        self._open = True
        if not answer.ok:
            raise self._refusal(answer, "seed_session", FailureClass.RESOURCES_ERROR)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        """The tool's answer as text, whatever its status."""
        return (await self._post(f"/{name}", arguments, "tool", self.tool_timeout_s)).text

    async def verify(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verify answer, with a finite `reward`. Ends the session."""
        answer = await self._post("/verify", request, "verify", self.verify_timeout_s)
        if not answer.ok:
            raise self._refusal(answer, "verify", FailureClass.VERIFY_ERROR)
        self._open = False
        verified = answer.parse()
        reward = verified.get("reward") if isinstance(verified, dict) else None
        if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
            what = _reward_problem(verified)
            raise EpisodeFailure(FailureClass.VERIFY_ERROR, "verify", what, server=self.server_name)
        assert isinstance(verified, dict)
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

    async def _post(self, path: str, body: dict[str, Any], stage: str, timeout_s: float) -> HttpResponse:
        try:
            answer = await self.client.post(
                self.server_name,
                path,
                body,
                cookies=self.cookies,
                headers=self._headers,
                timeout_s=timeout_s,
                retry=self.retry,
            )
        except RequestError as error:
            timed_out = {
                "tool": FailureClass.TOOL_ERROR,
                "verify": FailureClass.VERIFY_ERROR,
                "seed_session": FailureClass.RESOURCES_ERROR,
            }[stage]
            raise EpisodeFailure.of_request(
                error, stage, self.server_name, timed_out=timed_out, otherwise=FailureClass.RESOURCES_ERROR
            ) from error
        self.cookies.update(answer.cookies)
        return answer

    def _refusal(self, answer: HttpResponse, stage: str, otherwise: FailureClass) -> EpisodeFailure:
        """What an answer of 400 or above means: 422 is the row's mistake, a judge's failure is named as such."""
        kind = otherwise
        try:
            if answer.parse()["error"]["type"] == "JudgeError":
                kind = FailureClass.JUDGE_FAILED
        except (BadBody, KeyError, TypeError):
            pass
        if answer.status == 410:
            kind = FailureClass.RESOURCES_ERROR
        if answer.status == 422:
            kind = FailureClass.BAD_ROW
        return EpisodeFailure(kind, stage, refusal_text(answer), server=self.server_name)


def _reward_problem(verified: object) -> str:
    """Why a verify answer holds no reward that counts."""
    if not isinstance(verified, dict):
        return "the answer of verify() is no JSON object"
    if "reward" not in verified:
        return "the answer of verify() has no `reward`"
    if verified["reward"] is None:
        return "the `reward` of verify() is null, which is also how NaN and infinity arrive; it must be a finite number"
    return f"the `reward` of verify() is {verified['reward']!r:.50}; it must be a finite number"
