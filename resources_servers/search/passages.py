"""Passages as the policy reads them, and the client that gets them from a retriever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from nemo_gym.errors import BadBody
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.server_client import ServerClient

CUT = " ..."

QueryField = Literal["query", "queries"]
"""What a retriever wants: one text, or a list of them."""


class Retriever(Protocol):
    """Where an episode's passages come from."""

    async def passages(self, query: str) -> list[str]:
        """`contents` of the passages that were found, best first. Raises a `RequestError` where there is no answer."""
        ...


class _Document(BaseModel):
    contents: str


class _Hit(BaseModel):
    document: _Document


class _Answer(BaseModel):
    result: list[list[_Hit | _Document]] = Field(min_length=1, max_length=1)


_ANSWER = TypeAdapter(_Answer)


class RetrieverClient:
    """Asks a retriever, `POST /retrieve`: the one of this run, or any server that speaks the same."""

    def __init__(
        self,
        client: ServerClient,
        place: str,
        *,
        is_url: bool,
        takes: QueryField,
        topk: int,
        timeout_s: float,
        max_attempts: int,
    ) -> None:
        """`place`: an instance's name or, with `is_url`, the whole URL. `timeout_s` bounds all attempts together."""
        self._takes = takes
        self._client, self._place, self._is_url = client, place, is_url
        self._topk, self._timeout_s = topk, timeout_s
        # A search changes nothing, so it may be sent again even where the first may have arrived.
        self._retry = RetryPolicy(max_attempts=max_attempts, max_elapsed_s=timeout_s, retry_delivered=True)

    async def passages(self, query: str) -> list[str]:
        """Raises a `RequestError` where the retriever gives no answer in time, refuses, or answers something else."""
        asked = {"query": query} if self._takes == "query" else {"queries": [query]}
        answer = await self._ask({**asked, "topk": self._topk, "return_scores": True})
        answer.raise_for_status()
        try:
            [found] = _ANSWER.validate_python(answer.parse()).result
        except ValidationError as error:
            what = f"this is no retriever's answer: {'; '.join(explain(error)[:2])}"
            raise BadBody(what, url=answer.url, delivered=True, status=answer.status) from error
        return [(hit.document if isinstance(hit, _Hit) else hit).contents for hit in found]

    async def _ask(self, body: dict[str, Any]) -> HttpResponse:
        if self._is_url:
            return await self._client.http.request(
                "POST", self._place, json=body, timeout_s=self._timeout_s, retry=self._retry
            )
        return await self._client.post(self._place, "/retrieve", body, timeout_s=self._timeout_s, retry=self._retry)


def numbered(passages: Sequence[str], max_chars: int) -> str:
    """The passages one under another, `Doc 1 (Title): text`, each cut to its share of `max_chars` characters."""
    if not passages:
        return "Nothing was found."
    share = max_chars // len(passages)
    return "\n".join(f"Doc {number}{_cut(_titled(text), share)}" for number, text in enumerate(passages, start=1))


def skyrl_text(passages: Sequence[str]) -> str:
    """The passages as skyrl-gym 0.4.0 writes them: JSON, uncut."""
    found = "".join(f"Doc {number}: {text.strip()}\n" for number, text in enumerate(passages, start=1))
    return json.dumps({"result": found})


def _titled(contents: str) -> str:
    """`"Title"\\ntext` as ` (Title): text`; contents without a title in quotes as `: text`."""
    first, _, rest = contents.strip().partition("\n")
    title = first.strip()
    if len(title) > 2 and title[0] == title[-1] == '"' and rest:
        return f" ({title[1:-1]}): {rest.strip()}"
    return f": {contents.strip()}"


def _cut(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    return text[: max(size - len(CUT), 0)].rsplit(" ", 1)[0] + CUT
