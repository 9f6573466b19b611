"""Every error raised here: one type per boundary, each saying what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class NemoGymError(Exception):
    """Base of all errors of this package. Its text is meant for users: no stack trace is needed to act on it."""

    def __reduce__(self) -> tuple[object, ...]:
        # By default an error is made anew from its text alone, which those with fields cannot be. Errors travel between
        # processes when a gym is part of somebody's actor.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[NemoGymError], args: tuple[object, ...], fields: dict[str, object]) -> NemoGymError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True)
class ConfigProblem:
    """One mistake in a configuration, in one line."""

    file: str
    """The file it stands in, or `command line`."""
    key: str
    """Dotted path of the key, `""` where the file as a whole is meant."""
    message: str
    """What is wrong and what to do, the nearest right name included."""

    def __str__(self) -> str:
        place = f"{self.file}: `{self.key}`" if self.key else self.file
        return f"{place}: {self.message}"


class ConfigError(NemoGymError):
    """A configuration that cannot be run. Holds all mistakes found, not only the first."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class DataError(NemoGymError):
    """A data file that cannot be used: names the file and the line."""

    def __init__(self, path: str, line: int | None, message: str) -> None:
        self.path, self.line, self.message = path, line, message
        super().__init__(f"{path}:{line}: {message}" if line is not None else f"{path}: {message}")


class LaunchError(NemoGymError):
    """A server could not be started, or died."""


class RequestError(NemoGymError):
    """An HTTP request got no answer that can be used.

    `delivered` tells whether the receiver may have acted on it: False only where it certainly has not, so that sending
    it again is safe. `status` is the HTTP status where there was an answer, else None.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str,
        delivered: bool,
        attempts: int = 1,
        status: int | None = None,
        body: bytes = b"",
    ) -> None:
        self.url, self.delivered, self.attempts, self.status, self.body = url, delivered, attempts, status, body
        # Not super(): `serving.status_error` has a second base, whose constructor takes other things.
        Exception.__init__(self, message)

    def __str__(self) -> str:
        tries = "" if self.attempts == 1 else f" ({self.attempts} attempts)"
        return f"{self.url}: {self.args[0]}{tries}"


class Unreachable(RequestError):
    """Nobody answers at that address: refused, unknown host, or no connection in time."""


class ConnectionLost(RequestError):
    """The connection broke after the request may have been sent."""


class DeadlineExceeded(RequestError):
    """No complete answer before the request's deadline."""


class BadStatus(RequestError):
    """The answer came with a status of 400 or above."""


class AnswerTooLarge(RequestError):
    """The answer has more bytes than its receiver takes; the rest of it was not received."""


class BadBody(RequestError):
    """The answer's body is not what was promised: no JSON, or JSON of the wrong shape."""


class EnvironmentCodeError(NemoGymError):
    """An environment's own code does what its interface forbids, such as a step without a finite reward."""


class EpisodeStateError(NemoGymError):
    """A call that does not fit the state of the session's episode, such as a step after its end."""


class SessionLostError(NemoGymError):
    """A call of a session whose state is gone."""


class SandboxError(NemoGymError):
    """Code could not be run in a child process, or broke a limit there."""


class ReferencePolicyError(NemoGymError):
    """A scripted policy cannot answer: no such policy, or no recorded answer for the request."""


class ConversionError(NemoGymError):
    """A body says something that the API it is to be translated into cannot say."""


class EngineRefusedError(NemoGymError):
    """An engine refuses a model call. Holds the answer that the caller of the model server is to get."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """`body`: JSON, `{"error": {...}}`; `headers`: those to hand on, such as `retry-after`."""
        self.status, self.body, self.headers = status, body, dict(headers or {})
        super().__init__(f"HTTP {status}: {body[:500].decode(errors='replace')}")


class JudgeError(NemoGymError):
    """A judge gave no verdict that can be used. Ends a rollout as a failure of class `judge_failed`, never a reward."""

    def __init__(self, message: str, *, server: str = "", attempts: int = 1) -> None:
        """`server`: instance name of the judge, `""` where there is none, as in a verifier that judges by itself."""
        self.server, self.attempts = server, attempts
        judge = f"judge `{server}`" if server else "judge"
        tries = "" if attempts == 1 else f" ({attempts} attempts)"
        super().__init__(f"{judge}: {message}{tries}")


class UserError(NemoGymError):
    """The model that plays the user gave no reply that can be used. Ends a rollout as a failure, never a reward."""

    def __init__(self, message: str, *, server: str, attempts: int = 1) -> None:
        """`server`: instance name of the user's model."""
        self.server, self.attempts = server, attempts
        tries = "" if attempts == 1 else f" ({attempts} attempts)"
        super().__init__(f"user model `{server}`: {message}{tries}")


class TrajectoryError(NemoGymError):
    """A stored rollout cannot become what a trainer learns from: it is none, or contradicts itself."""


class MissingTokensError(TrajectoryError):
    """A rollout without the ids and log-probabilities that were sampled. Names the keys by which servers give them."""


class WeightUpdateError(NemoGymError):
    """New weights that a model server did not take: nothing is changed there. Says what is wrong with them."""


class RolloutError(NemoGymError):
    """A rollout failed; raised only to callers who asked for results one by one, such as trainers.

    `status` is what an HTTP server would have answered: below 500 where trying again is useless. `row` is the row as it
    was given, so that it can be sent again; `result` is all that is known: `_ng_failure_class`, `_ng_failure`, and the
    episode as far as it got.
    """

    def __init__(
        self, message: str, *, status: int, failure_class: str, row: dict[str, object], result: dict[str, object]
    ) -> None:
        self.status, self.failure_class, self.row, self.result = status, failure_class, row, result
        super().__init__(message)
