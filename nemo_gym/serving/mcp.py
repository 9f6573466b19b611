"""MCP: a resources server's tools, offered at `/mcp` of the same server to clients of the Model Context Protocol.

Only a server whose configuration says `mcp: true` imports this, for the SDK takes a second to load.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nemo_gym.config.nearest import suggestion
from nemo_gym.schemas.episode import SERVER_ROUTES
from nemo_gym.serving.sessions import SESSION_HEADER, SESSION_ID_KEY, SessionStore, session_cookie_name

MCP_PATH = "/mcp"
_TOOL_PATH = re.compile(r"/[A-Za-z0-9_.\-]{1,128}", re.ASCII)
_PASSED_ON = ("cookie", SESSION_HEADER, "x-ng-rollout-id")

Context = ServerRequestContext[dict[str, Any], Request]


class McpMiddleware:
    """Answers `/mcp` (streamable HTTP, without state of its own) and says so in the answer of `/seed_session`.

    It stands before all other middleware and runs each tool call as `POST /<tool>` through them, so that a call over
    MCP is the same as one over HTTP: its session, its checks, its error texts.
    """

    def __init__(self, app: ASGIApp, *, owner: FastAPI, name: str, store: SessionStore) -> None:
        """`owner` is the app whose routes are the tools, `name` the instance's, `store` the one of its sessions."""
        self.app, self._owner, self._store, self._cookie = app, owner, store, session_cookie_name(name)
        self._tools: dict[str, Tool] | None = None
        server = Server(name, on_list_tools=self._list_tools, on_call_tool=self._call_tool)
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._manager.run():
                await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == MCP_PATH:
            await self._manager.handle_request(scope, receive, send)
        elif scope["path"] == "/seed_session":
            await _Announcement(self.app, send).run(scope, receive)
        else:
            await self.app(scope, receive, send)

    @property
    def tools(self) -> dict[str, Tool]:
        """By name. Read from the routes at the first need, when the author has added them all."""
        if self._tools is None:
            self._tools = {tool.name: tool for tool in tools_of(self._owner)}
        return self._tools

    async def _list_tools(self, context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list(self.tools.values()))

    async def _call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        assert context.request is not None
        scope = context.request.scope
        session_id = self._store.presented_id(scope["headers"], self._cookie)
        if session_id is None or session_id not in self._store:
            return _error(
                "this call names no open session: start one by POST /seed_session, and send the headers in its answer's"
                " `mcp.headers`, or its cookie, with every request"
            )
        if params.name not in self.tools:
            return _error(f"there is no tool `{params.name}`; {suggestion(params.name, self.tools, kind='tools')}")
        answer = await _post(self.app, scope, f"/{params.name}", params.arguments or {})
        content = TextContent(type="text", text=answer.text)
        return CallToolResult(content=[content], is_error=answer.status >= 400)


def tools_of(app: FastAPI) -> list[Tool]:
    """The POST routes that the author added, as tools: name, docstring, the body's schema."""
    own = {f"/{name}" for name in SERVER_ROUTES}
    routes = [route for route in app.routes if getattr(route, "path", None) not in own]
    document = get_openapi(title="tools", version="1", routes=routes)
    schemas = document.get("components", {}).get("schemas", {})
    return [
        Tool(
            name=path[1:],
            description=operations["post"].get("description"),
            input_schema=_input_schema(operations["post"], schemas),
        )
        for path, operations in document["paths"].items()
        if "post" in operations and path not in own and _TOOL_PATH.fullmatch(path)
    ]


def _input_schema(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a route's body, whole in itself."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {"properties": {}})
    if set(schema) == {"$ref"}:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    used = _used(schema, schemas, {})
    whole = {**schema, "type": "object"} | ({"$defs": used} if used else {})
    text = json.dumps(whole).replace('"#/components/schemas/', '"#/$defs/')
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _used(schema: object, schemas: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """`found`, with all schemas that this one refers to, directly or not."""
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(schema)):
        if name not in found:
            found[name] = schemas[name]
            _used(schemas[name], schemas, found)
    return found


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str


async def _post(app: ASGIApp, outer: Scope, path: str, arguments: dict[str, Any]) -> _Answer:
    """Call `POST path` of the app in the session of the request that `outer` belongs to."""
    body = json.dumps(arguments).encode()
    headers = [(key, value) for key, value in outer["headers"] if key.decode("latin-1") in _PASSED_ON]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "asgi": outer["asgi"],
        "http_version": "1.1",
        "method": "POST",
        "scheme": outer["scheme"],
        "server": outer.get("server"),
        "client": outer.get("client"),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "app": outer["app"],
    }
    unread = [body]
    status, parts = 500, bytearray()

    async def receive() -> Message:
        if not unread:
            await asyncio.Event().wait()  # a client that goes away ends this call by cancelling it
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.extend(message.get("body", b""))

    await app(scope, receive, send)
    return _Answer(status, parts.decode("utf-8", errors="replace"))


class _Announcement:
    """The answer of `/seed_session`, held back until it is whole and `mcp` can be added to it."""

    def __init__(self, app: ASGIApp, send: Send) -> None:
        self._app, self._send = app, send
        self._start: Message | None = None
        self._body = bytearray()

    async def run(self, scope: Scope, receive: Receive) -> None:
        await self._app(scope, receive, self._hold)
        if self._start is None:
            return
        headers = MutableHeaders(scope=self._start)
        if self._start["status"] < 400:
            self._body = bytearray(_with_mcp(bytes(self._body), scope))
            headers["content-length"] = str(len(self._body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": bytes(self._body), "more_body": False})

    async def _hold(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")


def _with_mcp(body: bytes, scope: Scope) -> bytes:
    """The JSON object with where to find the tools, at the address by which the server was reached just now."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict):
        return body
    headers = Headers(scope=scope)
    server: Sequence[Any] = scope.get("server") or ("127.0.0.1", 80)
    host = headers.get("host") or f"{server[0]}:{server[1]}"
    needed = {"X-Session-ID": scope["session"][SESSION_ID_KEY]}
    if "authorization" in headers:  # whoever is told the address may ask there as who asked here
        needed["Authorization"] = headers["authorization"]
    return orjson.dumps({**answer, "mcp": {"url": f"{scope['scheme']}://{host}{MCP_PATH}", "headers": needed}})


def _error(message: str) -> CallToolResult:
    text = orjson.dumps({"error": message}).decode()
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
