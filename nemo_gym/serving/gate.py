"""The gate of a server: refuses who does not carry the run's token, and bodies beyond the limit, before all else."""

from __future__ import annotations

from hmac import compare_digest

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nemo_gym.serving.error_answers import error_response

_NO_TOKEN = (
    "this server answers who carries the token of its run, in a header `Authorization: Bearer <token>`. "
    "The folder in which the run was started holds that header: curl -H @.nemo_gym/latest/authorization <URL>. "
    "A run that was started with +open_endpoints=true answers everybody"
)


class Gate:
    """Stands around the app of a server that answers on a socket.

    Liveness, `GET /`, is answered without token. Clients of OpenAI carry it as their API key, those of Anthropic too,
    in `x-api-key`.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, max_body_bytes: int) -> None:
        """`token` None: everybody is let in."""
        self._app, self._max_body_bytes = app, max_body_bytes
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token, allowed, size, unsized = self._token, self._token is None, 0, False
        for name, value in scope["headers"]:
            if name == b"authorization":
                allowed = allowed or _carries(value, token)
            elif name == b"content-length":
                size = int(value)
            elif name == b"transfer-encoding":
                unsized = True
            elif name == b"x-api-key":
                allowed = allowed or compare_digest(value, token or b"")
        if not allowed and not (scope["path"] == "/" and scope["method"] in ("GET", "HEAD")):
            answer = error_response(401, "unauthorized", _NO_TOKEN)
            answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)
        elif size > self._max_body_bytes:
            await error_response(413, "body_too_large", self._too_large())(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive) if unsized else receive, send)

    def _counted(self, receive: Receive) -> Receive:
        """For a body that arrives in chunks and does not say how many."""
        received = 0

        async def receive_at_most() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise HTTPException(413, self._too_large())
            return message

        return receive_at_most

    def _too_large(self) -> str:
        return f"the body has more than {self._max_body_bytes} bytes, the limit of this server (`max_body_bytes`)"


def _carries(header: bytes, token: bytes | None) -> bool:
    """Whether an `Authorization` header has this token. Takes as long whichever letter is wrong."""
    return token is not None and header[:7].lower() == b"bearer " and compare_digest(header[7:].strip(), token)
