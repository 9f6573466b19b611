"""What model servers with an engine that takes and gives token ids subclass."""

from __future__ import annotations

from typing import ClassVar

from fastapi import FastAPI
from pydantic import PrivateAttr
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.base_responses_api_model import SimpleResponsesAPIModel
from nemo_gym.ledger.config import LedgerConfig
from nemo_gym.ledger.engine import TokenEngine
from nemo_gym.ledger.prompts import IdsSampler
from nemo_gym.ledger.recorder import Recorder
from nemo_gym.ledger.routes import LedgerRoutes
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams


class TokenModelConfig(LedgerConfig):
    return_token_id_information: bool = True
    """Whether answers carry the token fields."""


class TokenModel(SimpleResponsesAPIModel):
    """One engine behind both APIs, every call recorded. Override `engine()`."""

    config: TokenModelConfig

    continues_final_message: ClassVar[bool] = True

    _routes: LedgerRoutes = PrivateAttr()

    def engine(self) -> TokenEngine:
        """The engine. Called once, when the server is set up."""
        raise NotImplementedError(f"{type(self).__name__} must define engine()")

    @property
    def remembers_conversations(self) -> bool:
        return True

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        config = self.config
        recorder = Recorder(config.new_ledger(), IdsSampler(self.engine()))
        name = config.name or type(self).__name__
        self._routes = LedgerRoutes(recorder, model=name, gives_tokens=config.return_token_id_information)
        return app

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        return await self._routes.responses(request, body)

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        return await self._routes.chat_completions(request, body)
