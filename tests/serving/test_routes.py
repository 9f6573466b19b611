"""Routes that would never be called are refused, before a server starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from nemo_gym.base_resources_server import BaseResourcesServerConfig, BaseSeedSessionRequest, SimpleResourcesServer
from nemo_gym.errors import LaunchError
from nemo_gym.testclient import InProcessGym

AddRoutes = Callable[[FastAPI, SimpleResourcesServer], object]


async def look(body: BaseSeedSessionRequest) -> str:
    return "nothing to see"


async def look_again(body: BaseSeedSessionRequest) -> str:
    return "still nothing"


def server_adding(add_routes: AddRoutes) -> type[SimpleResourcesServer]:
    class Server(SimpleResourcesServer):
        config: BaseResourcesServerConfig

        def setup_webserver(self) -> FastAPI:
            app = super().setup_webserver()
            add_routes(app, self)
            return app

    return Server


@pytest.mark.parametrize("name", ["verify", "seed_session", "close", "aggregate_metrics"])
async def test_a_tool_with_the_name_of_a_server_route_is_refused(name: str) -> None:
    async with InProcessGym() as gym:
        with pytest.raises(LaunchError) as caught:
            gym.add("env", server_adding(lambda app, _: app.post(f"/{name}")(look)))
    place = f"{Path(__file__).relative_to(Path.cwd())}:{look.__code__.co_firstlineno}"
    assert str(caught.value).startswith(f"{place}: the route `POST /{name}` is the server's own, so that `look` would")


async def test_two_tools_of_one_name_are_refused() -> None:
    def twice(app: FastAPI, server: SimpleResourcesServer) -> None:
        app.post("/look")(look)
        app.post("/look")(look_again)

    async with InProcessGym() as gym:
        with pytest.raises(LaunchError, match=r"`POST /look` is added twice, so that `look_again` would"):
            gym.add("env", server_adding(twice))


@pytest.mark.parametrize(
    "add_routes",
    [
        lambda app, server: app.post("/verify")(server.verify),
        lambda app, server: app.get("/look")(look) and app.post("/look")(look_again),
        lambda app, server: app.post("/step")(look),
    ],
    ids=["the server's own handler once more", "one path with two methods", "a route of the turn protocol"],
)
async def test_what_hides_nothing_is_let_pass(add_routes: AddRoutes) -> None:
    async with InProcessGym() as gym:
        gym.add("env", server_adding(add_routes))
