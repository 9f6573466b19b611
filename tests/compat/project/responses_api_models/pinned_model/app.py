"""pinned_model: chat completions of endpoints elsewhere; each session stays with one of them."""

from time import time
from uuid import uuid4

from aiohttp.client_exceptions import ClientResponseError
from fastapi import Request
from pydantic import Field

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, Body, SimpleResponsesAPIModel
from nemo_gym.openai_utils import (
    RESPONSES_TO_TRAIN,
    NeMoGymAsyncOpenAI,
    NeMoGymChatCompletion,
    NeMoGymChatCompletionCreateParamsNonStreaming,
    NeMoGymChatCompletionMessage,
    NeMoGymChoice,
    NeMoGymEasyInputMessage,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
    NeMoGymResponseOutputMessage,
    NeMoGymResponseOutputText,
)
from nemo_gym.server_utils import SESSION_ID_KEY, is_nemo_gym_fastapi_worker


class PinnedModelConfig(BaseResponsesAPIModelConfig):
    base_url: str | list[str]
    api_key: str
    model: str
    return_token_id_information: bool = False

    def model_post_init(self, context) -> None:
        if isinstance(self.base_url, str):
            self.base_url = [self.base_url]
        return super().model_post_init(context)


class PinnedModel(SimpleResponsesAPIModel):
    config: PinnedModelConfig
    asked: int = Field(default=0)

    def model_post_init(self, context) -> None:
        self._clients = [
            NeMoGymAsyncOpenAI(base_url=base_url, api_key=self.config.api_key) for base_url in self.config.base_url
        ]
        self._session_id_to_client: dict[str, NeMoGymAsyncOpenAI] = {}
        return super().model_post_init(context)

    def client_of(self, request: Request) -> NeMoGymAsyncOpenAI:
        session_id = request.session[SESSION_ID_KEY]
        if session_id not in self._session_id_to_client:
            client_idx = len(self._session_id_to_client) % len(self._clients)
            self._session_id_to_client[session_id] = self._clients[client_idx]
        return self._session_id_to_client[session_id]

    async def responses(
        self, request: Request, body: NeMoGymResponseCreateParamsNonStreaming = Body()
    ) -> NeMoGymResponse:
        items = (
            [NeMoGymEasyInputMessage(role="user", content=body.input)] if isinstance(body.input, str) else body.input
        )
        messages = [{"role": each.role, "content": each.content} for each in items]
        completion = await self.chat_completions(
            request, NeMoGymChatCompletionCreateParamsNonStreaming(messages=messages, temperature=body.temperature)
        )
        message = completion.choices[0].message
        incomplete = {"reason": "max_output_tokens"} if completion.choices[0].finish_reason == "length" else None
        text = NeMoGymResponseOutputText(annotations=[], text=message.content or "", type="output_text")
        item = NeMoGymResponseOutputMessage(
            id=f"msg_{uuid4().hex}", role="assistant", content=[text], status="completed", type="message"
        )
        if self.config.return_token_id_information:
            item = RESPONSES_TO_TRAIN[item.__class__](
                **item.model_dump(),
                prompt_token_ids=[1, 2],
                generation_token_ids=[3],
                generation_log_probs=[-0.5],
            )
        return NeMoGymResponse(
            id=f"resp_{uuid4().hex}",
            created_at=int(time()),
            model=self.config.model,
            object="response",
            output=[item],
            tool_choice="auto",
            parallel_tool_calls=True,
            tools=[],
            incomplete_details=incomplete,
        )

    async def chat_completions(
        self, request: Request, body: NeMoGymChatCompletionCreateParamsNonStreaming = Body()
    ) -> NeMoGymChatCompletion:
        self.asked += 1
        body_dict = body.model_dump(exclude_unset=True)
        body_dict["model"] = self.config.model
        try:
            answer = await self.client_of(request).create_chat_completion(**body_dict)
        except ClientResponseError as e:
            if e.status == 400 and "context length" in e.response_content.decode():
                message = NeMoGymChatCompletionMessage(role="assistant", content=None, tool_calls=None)
                return NeMoGymChatCompletion(
                    id="chtcmpl-123",
                    choices=[NeMoGymChoice(index=0, finish_reason="length", message=message)],
                    created=int(time()),
                    model=self.config.model,
                    object="chat.completion",
                )
            raise e
        return NeMoGymChatCompletion.model_validate(answer)


if __name__ == "__main__":
    PinnedModel.run_webserver()
elif is_nemo_gym_fastapi_worker():
    app = PinnedModel.run_webserver()
