"""word_sorter: lies in a nested folder, imports modules that lie beside it, asks for packages that are there."""

from fastapi import FastAPI
from schemas import SortRequest, SortVerifyRequest, WordSorterConfig
from utils import is_sorted

from nemo_gym.base_resources_server import BaseVerifyResponse, SimpleResourcesServer


class WordSorterServer(SimpleResourcesServer):
    config: WordSorterConfig

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/sort_words")(self.sort_words)
        return app

    async def sort_words(self, body: SortRequest) -> str:
        return " ".join(sorted(body.words, reverse=self.config.reverse))

    async def verify(self, body: SortVerifyRequest) -> BaseVerifyResponse:
        right = is_sorted(body.response.output_text.split(), self.config.reverse)
        return BaseVerifyResponse(**body.model_dump(), reward=1.0 if right else 0.0)


if __name__ == "__main__":
    WordSorterServer.run_webserver()
