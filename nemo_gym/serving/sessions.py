"""Sessions: one server-side dict per rollout, carried by a signed cookie or a header, freed when done or idle."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from nemo_gym.errors import SessionLostError

log = logging.getLogger(__name__)

SESSION_ID_KEY = "session_id"
SESSION_HEADER = "x-session-id"
_SESSION_ID = "nemo_gym.session_id"
_HEADER_VALUE = re.compile(r"[\w.:\-]{1,128}", re.ASCII)
_OWN_ID = re.compile(r"\d+-[0-9a-f]{32}", re.ASCII)
_SIGNATURE_LENGTH = 24
_SIGNATURES_KEPT = 4_096
_EXPIRED_KEPT = 10_000
"""So many expired sessions are remembered, to refuse what still comes for them."""


_LOST = (
    "the state of this session is gone: it was idle for longer than `session_ttl_s`, or the server was started again; "
    "run the episode anew, from /seed_session"
)


def session_cookie_name(instance: str) -> str:
    """Each instance has a cookie of its own, so that an agent may keep the cookies of all servers in one dict."""
    return f"ng_session_{instance}"


def worker_of(session_id: str, num_workers: int) -> int:
    """Which worker holds a session: an id that a server gave names it, ids of others are spread by their hash."""
    if _OWN_ID.fullmatch(session_id):
        return int(session_id.partition("-")[0]) % num_workers
    return zlib.crc32(session_id.encode()) % num_workers


def id_in(cookie: str) -> str:
    """The session id in a cookie's value, whoever signed it."""
    return cookie.rpartition(".")[0]


@dataclass
class _Session:
    data: dict[str, Any]
    last_used: float
    in_use: int = 0


@dataclass
class SessionStore:
    """All sessions of one server process.

    `ttl_s`: idle seconds after which a session is freed. `on_close` is called once with the id of each freed session.
    """

    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    worker: int = 0
    ttl_s: float = 3600.0
    on_close: Callable[[str], Awaitable[None]] | None = None
    _sessions: OrderedDict[str, _Session] = field(default_factory=OrderedDict)
    _expired: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _generation: str = field(default_factory=lambda: secrets.token_hex(4))
    """Begins the ids that this process gives, to tell them from those of a process that died."""

    def __post_init__(self) -> None:
        # A rollout shows its cookie at each call: its signature is worked out once.
        self.sign = lru_cache(maxsize=_SIGNATURES_KEPT)(self._signed)
        """The cookie's value for a session id: id and signature."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def new_id(self) -> str:
        return f"{self.worker}-{self._generation}{secrets.token_hex(12)}"

    def is_lost(self, session_id: str) -> bool:
        """Whether a session's state is gone though nobody ended it: idle too long, or kept by a process that died.

        One that was ended by `/verify` or `/close` is not lost: it may begin anew, as with agents that verify twice.
        """
        if session_id in self._sessions or not _OWN_ID.fullmatch(session_id):
            return False
        made_here = session_id.partition("-")[2].startswith(self._generation)
        return not made_here or session_id in self._expired

    def _signed(self, session_id: str) -> str:
        digest = hmac.digest(self.secret.encode(), session_id.encode(), hashlib.sha256)
        return f"{session_id}.{digest.hex()[:_SIGNATURE_LENGTH]}"

    def verified_id(self, cookie: str) -> str | None:
        """The session id in a cookie's value, None where the signature is not ours."""
        session_id = id_in(cookie)
        # As bytes: texts are compared only where both are ASCII, which a forged cookie need not be.
        genuine = session_id and hmac.compare_digest(self.sign(session_id).encode(), cookie.encode())
        return session_id if genuine else None

    def presented_id(self, headers: Iterable[tuple[bytes, bytes]], cookie: str) -> str | None:
        """The session that a request names, by header, else in that cookie; None where it names none that is valid."""
        presented = None
        for name, value in headers:
            if name == b"x-session-id":
                text = value.decode("latin-1")
                return text if _HEADER_VALUE.fullmatch(text) else None
            if name == b"cookie":
                prefix = f"{cookie}=".encode()
                for pair in value.split(b"; "):
                    if pair.startswith(prefix):
                        presented = self.verified_id(pair[len(prefix) :].decode("latin-1"))
        return presented

    def acquire(self, session_id: str) -> dict[str, Any]:
        """The session's dict, made where there is none. While acquired it cannot expire."""
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Session({SESSION_ID_KEY: session_id}, 0.0)
        session.in_use += 1
        session.last_used = time.monotonic()
        self._sessions.move_to_end(session_id)
        return session.data

    async def release(self, session_id: str, *, free: bool) -> None:
        """The request is answered. `free` ends the session now; idle ones of others are ended on the way."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.in_use -= 1
            if free and session.in_use == 0:
                await self._close(session_id)
        await self._expire()

    async def _expire(self) -> None:
        oldest_allowed = time.monotonic() - self.ttl_s
        while self._sessions:
            session_id, session = next(iter(self._sessions.items()))
            if session.last_used > oldest_allowed:
                return
            if session.in_use:
                session.last_used = time.monotonic()
                self._sessions.move_to_end(session_id)
            else:
                self._expired[session_id] = None
                if len(self._expired) > _EXPIRED_KEPT:
                    self._expired.popitem(last=False)
                await self._close(session_id)

    async def _close(self, session_id: str) -> None:
        del self._sessions[session_id]
        if self.on_close is not None:
            try:
                await self.on_close(session_id)
            except Exception:  # the author's code: its failure must not fail the request that was answered
                log.exception("close_session failed for session %s", session_id)


class Sessions:
    """Gives each POST its session as `request.session`; frees it after a successful call of a path in `closing`.

    `keep_empty`: whether a session is remembered although its handler put nothing into it. Servers whose handlers keep
    state of their own by session id need that, so that `close_session` is called for each. On such a server a request
    of a lost session is refused: going on without the state that is gone would give a wrong reward.
    """

    def __init__(self, store: SessionStore, *, instance: str, closing: frozenset[str], keep_empty: bool) -> None:
        self._store, self._closing, self._keep_empty = store, closing, keep_empty
        self._cookie = session_cookie_name(instance)

    def enter(self, scope: Scope) -> bytes:
        """The cookie that the answer is to carry. Raises `SessionLostError`."""
        store = self._store
        presented = store.presented_id(scope["headers"], self._cookie)
        if presented and self._keep_empty and scope["path"] != "/seed_session" and store.is_lost(presented):
            raise SessionLostError(_LOST)
        session_id = presented or store.new_id()
        scope[_SESSION_ID], scope["session"] = session_id, store.acquire(session_id)
        return f"{self._cookie}={store.sign(session_id)}; Path=/; HttpOnly; SameSite=Lax".encode("latin-1")

    async def leave(self, scope: Scope, *, succeeded: bool) -> None:
        """The request that entered is answered."""
        done = succeeded and scope["path"] in self._closing
        is_empty = not self._keep_empty and len(scope["session"]) == 1
        await self._store.release(scope[_SESSION_ID], free=done or is_empty)
