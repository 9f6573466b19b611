"""two_part_reward: a reward of two parts, a plain function as tool, a route of its own for reading."""

from fastapi import FastAPI

from nemo_gym.base_resources_server import (
    BaseMultiRewardVerifyResponse,
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    ReverifyMode,
    SimpleResourcesServer,
)


class TwoPartVerifyRequest(BaseVerifyRequest):
    keyword: str


class TwoPartServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig
    reverify_mode = ReverifyMode.STATELESS

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/lookup")(self.lookup)
        app.get("/rules")(self.rules)
        return app

    def lookup(self, word: str, times: int = 1) -> dict[str, str]:
        return {"definition": " ".join([f"{word} is a word."] * times)}

    async def rules(self) -> list[str]:
        return ["be brief", "use the keyword"]

    async def verify(self, body: TwoPartVerifyRequest) -> BaseMultiRewardVerifyResponse:
        text = body.response.output_text
        components = {"keyword": 0.75 * (body.keyword in text), "brief": 0.25 * (len(text) < 40)}
        return BaseMultiRewardVerifyResponse(
            **body.model_dump(), reward=sum(components.values()), reward_components=components
        )


if __name__ == "__main__":
    TwoPartServer.run_webserver()
