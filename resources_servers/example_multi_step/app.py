"""example_multi_step: tools that build on each other; the reward says whether the last call has the right values."""

from __future__ import annotations

from typing import ClassVar

from fastapi import FastAPI
from pydantic import BaseModel, StrictInt

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from resources_servers.example_multi_step.verifier import parse_values, score, synonym_value


class GetSynonymValueRequest(BaseModel):
    synonym: str


class GetSynonymValueResponse(BaseModel):
    synonym_value: int


class ExtractSynonymValuesRequest(BaseModel):
    synonym_values: list[StrictInt]


class ExtractSynonymValuesResponse(BaseModel):
    success: bool


class SynonymVerifyRequest(BaseVerifyRequest):
    expected_synonym_values: list[int]
    """Values of the synonyms of the term that the question is about, in the order of the list in the prompt."""
    minefield_label_value: int
    """Value of the term itself, which was not asked for."""


class SynonymVerifyResponse(SynonymVerifyRequest, BaseVerifyResponse):
    parsed_synonym_values: list[int]
    """What the last `extract_synonym_values` call holds."""
    accuracy: bool
    set_overlap: float
    original_term_minefield_hit: bool
    order_instruction_following_failure: bool


class MultiStepResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_synonym_value")(self.get_synonym_value)
        app.post("/extract_synonym_values")(self.extract_synonym_values)
        return app

    async def get_synonym_value(self, body: GetSynonymValueRequest) -> GetSynonymValueResponse:
        """The value of one synonym, an integer."""
        return GetSynonymValueResponse(synonym_value=synonym_value(body.synonym))

    async def extract_synonym_values(self, body: ExtractSynonymValuesRequest) -> ExtractSynonymValuesResponse:
        """Hands in the values, all at once."""
        return ExtractSynonymValuesResponse(success=True)

    async def verify(self, body: SynonymVerifyRequest) -> SynonymVerifyResponse:
        values = parse_values([(call.name, call.arguments) for call in body.response.function_calls])
        result = score(values, body.expected_synonym_values, body.minefield_label_value)
        return SynonymVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True)
            | {
                "reward": result.reward,
                "parsed_synonym_values": values,
                "accuracy": result.accuracy,
                "set_overlap": result.set_overlap,
                "original_term_minefield_hit": result.original_term_minefield_hit,
                "order_instruction_following_failure": result.order_instruction_following_failure,
            }
        )


if __name__ == "__main__":
    MultiStepResourcesServer.run_webserver()
