"""The head server: tells collectors and commands where the servers of a run answer and how they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import yaml
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nemo_gym.serving.runs import ServerInstance, ServerStatus

_INSTANCES = TypeAdapter(list[ServerInstance])
_STATUSES = TypeAdapter(list[ServerStatus])


def head_app(
    masked_config: dict[str, object],
    instances: Callable[[], Sequence[ServerInstance]],
    statuses: Callable[[], Sequence[ServerStatus]],
) -> Starlette:
    """Its routes. `masked_config` is the configuration without secrets; the functions are asked at each request."""
    config_yaml = yaml.safe_dump(masked_config, sort_keys=False, allow_unicode=True)

    async def liveness(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def server_instances(_: Request) -> Response:
        return Response(_INSTANCES.dump_json(list(instances())), media_type="application/json")

    async def global_config_dict_yaml(_: Request) -> Response:
        return JSONResponse(config_yaml)

    async def server_status(_: Request) -> Response:
        return Response(_STATUSES.dump_json(list(statuses())), media_type="application/json")

    return Starlette(
        routes=[
            Route("/", liveness),
            Route("/server_instances", server_instances),
            Route("/global_config_dict_yaml", global_config_dict_yaml),
            Route("/server_status", server_status),
        ]
    )
