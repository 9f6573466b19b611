"""code_lookup: look up a door's code with a tool, then use it; reward 1.0 when the answer holds the code."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field, StringConstraints

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from resources_servers.code_lookup.verifier import extract_code, reward

CODES = "codes"
"""Key of the session's codes in `request.session`."""

Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")]


class CodeSeedSessionRequest(BaseSeedSessionRequest):
    codes: dict[str, Code] = Field(min_length=1)
    """Today's code of each door."""


class GetCodeRequest(BaseModel):
    door: str


class CodeVerifyRequest(BaseVerifyRequest):
    expected_code: Code


class CodeVerifyResponse(CodeVerifyRequest, BaseVerifyResponse):
    extracted_code: str | None
    """The last code that the policy wrote; None where it wrote none."""


class CodeLookupResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_code")(self.get_code)
        return app

    async def seed_session(self, request: Request, body: CodeSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session[CODES] = body.codes
        return BaseSeedSessionResponse()

    async def get_code(self, request: Request, body: GetCodeRequest) -> dict[str, str]:
        """Today's code of one door, as `code`; `error` where there is no such door."""
        if CODES not in request.session:
            raise HTTPException(409, "this session has no codes: call /seed_session first, and send its cookie along")
        code = request.session[CODES].get(body.door)
        return {"code": code} if code else {"error": "no such door"}

    async def verify(self, body: CodeVerifyRequest) -> CodeVerifyResponse:
        code = extract_code(body.response.output_text)
        return CodeVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True) | {"reward": reward(code, body.expected_code), "extracted_code": code}
        )


if __name__ == "__main__":
    CodeLookupResourcesServer.run_webserver()
