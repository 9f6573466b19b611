"""A failed episode as an exception inside the loop; outside it is a typed fact in the answer of `/run`."""

from __future__ import annotations

from contextlib import suppress

from nemo_gym.errors import BadBody, DeadlineExceeded, NemoGymError, RequestError, Unreachable
from nemo_gym.schemas.rollout import TERMINAL_FAILURES, FailureClass, RolloutFailure
from nemo_gym.serving.http_response import HttpResponse


class EpisodeFailure(NemoGymError):
    """The episode cannot go on."""

    def __init__(
        self, failure_class: FailureClass, stage: str, message: str, *, server: str | None = None, attempts: int = 1
    ) -> None:
        self.failure = RolloutFailure(
            failure_class=failure_class,
            stage=stage,
            server=server,
            message=message,
            attempts=attempts,
            terminal=failure_class in TERMINAL_FAILURES,
        )
        super().__init__(message)

    @classmethod
    def of_request(
        cls, error: RequestError, stage: str, server: str, *, timed_out: FailureClass, otherwise: FailureClass
    ) -> EpisodeFailure:
        """The failure that a request without an answer means at this stage."""
        if isinstance(error, Unreachable):
            kind = FailureClass.UNREACHABLE
        elif isinstance(error, DeadlineExceeded):
            kind = timed_out
        else:
            kind = otherwise
        return cls(kind, stage, str(error), server=server, attempts=error.attempts)


def refusal_text(answer: HttpResponse) -> str:
    """What an answer of 400 or above says: the `message` of its `error` where it has one, else the body itself."""
    text = answer.text
    with suppress(BadBody, KeyError, TypeError):
        text = str(answer.parse()["error"]["message"])
    return f"HTTP {answer.status}: {text[:500]}"
