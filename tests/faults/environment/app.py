"""faulty: an environment whose tools and verify() do what they are told, most of it bad."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

from fastapi import FastAPI
from resources_servers.faulty.scoring import eaten, forked, looped, scored
from starlette.responses import Response

from nemo_gym.base_resources_server import (
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)

CPU_TIMEOUT_S = 1.0


class FaultyVerifyRequest(BaseVerifyRequest):
    worth: float
    """The reward of an answer."""
    verifier: Literal["well", "loops", "blocks", "hangs", "forks", "eats", "raises", "nan", "exits"] = "well"


class FaultyResourcesServer(SimpleResourcesServer):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/raise")(self.raise_error)
        app.post("/hang")(self.hang)
        app.post("/binary")(self.binary)
        app.post("/huge")(self.huge)
        app.post("/exit")(self.exit)
        return app

    async def raise_error(self) -> Response:
        raise KeyError("no such drawer")

    async def hang(self) -> Response:
        await asyncio.sleep(3600)
        return Response()

    async def binary(self) -> Response:
        return Response(bytes(range(256)) * 100, media_type="application/octet-stream")

    async def huge(self) -> Response:
        return Response(b"x" * 100_000_000, media_type="text/plain")

    async def exit(self) -> Response:
        os._exit(3)

    async def verify(self, body: FaultyVerifyRequest) -> BaseVerifyResponse:
        worth = body.worth if body.response.output_text == "fine" else 0.0
        match body.verifier:
            case "well":
                reward = worth
            case "loops":
                reward = await self.run_cpu(looped, timeout_s=CPU_TIMEOUT_S)
            case "blocks":
                reward = looped()
            case "hangs":
                await asyncio.sleep(3600)
                reward = worth
            case "forks":
                reward = await self.run_cpu(forked, timeout_s=CPU_TIMEOUT_S)
            case "eats":
                reward = await self.run_cpu(eaten, timeout_s=10 * CPU_TIMEOUT_S)
            case "raises":
                reward = scored(body.model_dump())
            case "nan":
                reward = float("nan")
            case "exits":
                os._exit(3)
        return BaseVerifyResponse(**body.model_dump(), reward=reward)


if __name__ == "__main__":
    FaultyResourcesServer.run_webserver()
