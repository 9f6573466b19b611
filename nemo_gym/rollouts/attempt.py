"""One attempt at one rollout: the row goes to its agent's `/run`; whatever happens becomes a result or a failure."""

from __future__ import annotations

import math
from typing import Any

from nemo_gym.agent_loop.failure import refusal_text
from nemo_gym.errors import BadBody, BadStatus, DeadlineExceeded, RequestError, Unreachable
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.rollout import (
    AGENT_REF,
    ATTEMPT_INDEX,
    FAILURE,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    ROLLOUT_ID,
    ROLLOUT_INDEX,
    TASK_INDEX,
    TERMINAL_FAILURES,
    FailureClass,
    RolloutFailure,
)
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import REFUSED_STATUSES, HttpResponse
from nemo_gym.serving.server_client import ServerClient

Result = dict[str, Any]
"""What became of a row: a verify answer with its `reward`, or a failure: `_ng_failure_class`, and no reward."""

RETRY = RetryPolicy(max_attempts=4, max_elapsed_s=30.0)
"""For what the agent certainly did not begin (refused, 429, 503), so that an agent may restart meanwhile."""

_ECHOED = (AGENT_REF, TASK_INDEX, ROLLOUT_INDEX, ATTEMPT_INDEX, ROLLOUT_ID)
_ROW_REFUSED = frozenset({400, 413, 422})


async def attempt_rollout(client: ServerClient, row: TaskRow, *, timeout_s: float) -> Result:
    """Run one row on the agent that its `agent_ref` names. Never raises for what a server does or does not answer.

    No answer within `timeout_s` is a failure `timeout`; nobody there, `unreachable`; a row that the agent refuses,
    `bad_row`; any other answer that is no result, `agent_error`. Failures found here have stage `collect`.
    """
    agent = str(row[AGENT_REF]["name"])
    try:
        answer = await client.post(agent, "/run", json=row, timeout_s=timeout_s, retry=RETRY)
        result = _result_in(answer)
    except RequestError as error:
        return failed(row, _class_of(error), str(error), server=agent, attempts=error.attempts)
    return result | {key: row[key] for key in _ECHOED if key in row}


def failed(row: TaskRow, kind: FailureClass, message: str, *, server: str, attempts: int = 1) -> Result:
    """The failure of a row that was found on this side of the agent."""
    failure = RolloutFailure(
        failure_class=kind,
        stage="collect",
        server=server,
        message=message,
        attempts=attempts,
        terminal=kind in TERMINAL_FAILURES,
    )
    return row | {
        FAILURE_CLASS: kind.value,
        FAILURE_TERMINAL: failure.terminal,
        FAILURE: failure.model_dump(mode="json"),
    }


def _result_in(answer: HttpResponse) -> Result:
    if not answer.ok:
        raise BadStatus(
            refusal_text(answer),
            url=answer.url,
            delivered=answer.status not in REFUSED_STATUSES,
            status=answer.status,
            body=answer.body,
        )
    result = answer.parse()
    if isinstance(result, dict):
        reward = result.get("reward")
        is_reward = isinstance(reward, bool | int | float) and math.isfinite(reward)
        if FAILURE_CLASS in result or is_reward:
            return result
        what = "has no reward" if reward is None else f"has `{reward!r:.50}` for a reward, which is no finite number"
    else:
        what = "is no JSON object"
    raise BadBody(f"the answer of /run {what}", url=answer.url, delivered=True, status=answer.status, body=answer.body)


def _class_of(error: RequestError) -> FailureClass:
    if isinstance(error, Unreachable):
        return FailureClass.UNREACHABLE
    if isinstance(error, DeadlineExceeded):
        return FailureClass.TIMEOUT
    return FailureClass.BAD_ROW if error.status in _ROW_REFUSED else FailureClass.AGENT_ERROR
