"""The judge: asks a model server for a verdict, and says so, typed, where none can be had.

A resources server awaits `call_judge(...)` in `verify()` and lets `JudgeError` rise: the rollout then ends as a failure
of class `judge_failed`, never with a reward.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, overload

from pydantic import ValidationError

from nemo_gym.errors import BadStatus, JudgeError, RequestError
from nemo_gym.schemas.responses import EasyInputMessage, InputItem, Response, ResponseCreateParams
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.server_client import ServerClient

__all__ = ["JudgeError", "call_judge", "reraise_judge_errors"]

Verdict = TypeVar("Verdict")


@overload
async def call_judge(
    server_client: ServerClient,
    server_name: str,
    params: ResponseCreateParams,
    *,
    parse: None = None,
    cookies: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    max_attempts: int = 3,
) -> Response: ...


@overload
async def call_judge(
    server_client: ServerClient,
    server_name: str,
    params: ResponseCreateParams,
    *,
    parse: Callable[[str], Verdict],
    cookies: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    max_attempts: int = 3,
) -> Verdict: ...


async def call_judge(
    server_client: ServerClient,
    server_name: str,
    params: ResponseCreateParams,
    *,
    parse: Callable[[str], Verdict] | None = None,
    cookies: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    max_attempts: int = 3,
) -> Verdict | Response:
    """The verdict of the model server `server_name`: what `parse` makes of its text, else the answer itself.

    `parse` raises `ValueError` or `LookupError` for a text that holds no verdict. The judge is then shown its answer
    and what was wrong with it, and asked again; after an HTTP 500 it is asked the same again. At most `max_attempts`
    questions and `timeout_s` seconds in all; a server that cannot be reached or is busy (429, 503) is waited for within
    the same bounds. Raises `JudgeError` when these are used up, and at once where asking again cannot help.
    """
    deadline = time.monotonic() + timeout_s
    question = params
    problem = "no time was left to ask"
    for attempt in range(1, max_attempts + 1):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise JudgeError(
                f"no verdict within {timeout_s:g} s; last problem: {problem}", server=server_name, attempts=attempt - 1
            )
        with reraise_judge_errors(server_name, attempts=attempt):
            answer = await server_client.post(
                server_name,
                "/v1/responses",
                json=question.model_dump(mode="json", exclude_none=True),
                cookies=cookies,
                timeout_s=left_s,
                retry=RetryPolicy(max_attempts=max_attempts, max_elapsed_s=left_s),
            )
            if answer.status >= 500 and attempt < max_attempts:
                problem = f"HTTP {answer.status}"
                continue
            answer.raise_for_status()
            response = Response.model_validate(await answer.json())
        if parse is None:
            return response
        try:
            return parse(response.output_text)
        except (ValueError, LookupError) as error:
            problem = f"its answer {response.output_text[-200:]!r} holds no verdict: {error}"
            question = _ask_again(params, response, str(error))
    raise JudgeError(problem, server=server_name, attempts=max_attempts)


@contextmanager
def reraise_judge_errors(server_name: str, *, attempts: int = 1) -> Iterator[None]:
    """Inside, whatever goes wrong with a request to the judge `server_name` is raised as `JudgeError`.

    For environments that call their judge otherwise than by `call_judge`.
    """
    try:
        yield
    except BadStatus as error:
        raise JudgeError(str(error), server=server_name, attempts=attempts) from error
    except RequestError as error:
        raise JudgeError(f"no answer: {error}", server=server_name, attempts=attempts) from error
    except ValidationError as error:
        raise JudgeError(
            "no Responses answer: " + "; ".join(explain(error)[:3]), server=server_name, attempts=attempts
        ) from error


def _ask_again(params: ResponseCreateParams, response: Response, problem: str) -> ResponseCreateParams:
    """The same question, with the unreadable answer and what is wrong with it."""
    asked: list[InputItem] = (
        [EasyInputMessage(role="user", content=params.input)] if isinstance(params.input, str) else list(params.input)
    )
    answered = [EasyInputMessage(role="assistant", content=response.output_text)] if response.output_text else []
    complaint = f"That answer could not be read: {problem}. Answer again, in exactly the form asked for."
    again = EasyInputMessage(role="user", content=complaint)
    return params.model_copy(update={"input": [*asked, *answered, again]})
