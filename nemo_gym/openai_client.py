"""NeMoGymAsyncOpenAI: calls an OpenAI-compatible endpoint by URL, for servers that bring a model of their own."""

from __future__ import annotations

from typing import Any

from nemo_gym.serving.calls import raise_for_status, request
from nemo_gym.serving.http import RetryPolicy

RETRY = RetryPolicy(max_attempts=8, max_elapsed_s=300.0, cap_s=30.0)
"""A busy endpoint (429, 503) and one that cannot be reached yet are waited for within these bounds."""


class NeMoGymAsyncOpenAI:
    """One endpoint. Each method sends its keyword arguments as the body and returns the parsed answer.

    All raise a `RequestError` where there is no answer, and for a status of 400 or above an error that is a `BadStatus`
    and aiohttp's `ClientResponseError`, with `status` and `response_content`.
    """

    def __init__(self, *, base_url: str, api_key: str = "", timeout_s: float = 1800.0) -> None:
        """`base_url` ends in `/v1`; `timeout_s` bounds one call with all its attempts."""
        self.base_url, self.api_key, self.timeout_s = base_url.rstrip("/"), api_key, timeout_s

    async def create_response(self, **params: Any) -> dict[str, Any]:
        """`POST <base_url>/responses`."""
        return await self._post(f"{self.base_url}/responses", params)

    async def create_chat_completion(self, **params: Any) -> dict[str, Any]:
        """`POST <base_url>/chat/completions`."""
        return await self._post(f"{self.base_url}/chat/completions", params)

    async def create_tokenize(self, **params: Any) -> dict[str, Any]:
        """`POST /tokenize` of the same server, beside its `/v1`: a vLLM's answer with `tokens`."""
        return await self._post(f"{self.base_url.removesuffix('/v1')}/tokenize", params)

    async def _post(self, url: str, params: dict[str, Any]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.api_key}"}
        answer = await request("POST", url, json=params, headers=headers, timeout_s=self.timeout_s, retry=RETRY)
        await raise_for_status(answer)
        body = answer.parse()
        assert isinstance(body, dict)
        return body
