"""canned_model: does what the last user message says (`CALL tool {...}`, `SAY ...`), judges `JUDGE` prompts."""

import re
import time
from uuid import uuid4

from fastapi import Body

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, SimpleResponsesAPIModel
from nemo_gym.openai_utils import (
    NeMoGymChatCompletion,
    NeMoGymChatCompletionCreateParamsNonStreaming,
    NeMoGymChatCompletionMessage,
    NeMoGymChoice,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
    NeMoGymResponseFunctionToolCall,
    NeMoGymResponseOutputItem,
    NeMoGymResponseOutputMessage,
    NeMoGymResponseOutputText,
    NeMoGymResponseReasoningItem,
    NeMoGymSummary,
)


class CannedModelConfig(BaseResponsesAPIModelConfig):
    pass


def answer_to(prompt: str) -> str:
    if prompt.startswith("JUDGE"):
        first, second = (re.search(f"{side}=(.*)", prompt)[1] for side in ("first", "second"))
        return "[[equal]]" if first == second else "[[different]]"
    if prompt.startswith("Topic:"):
        return f"marks: {min(10, len(prompt.split()))}"
    said = re.search(r"SAY (.*)", prompt)
    return said[1] if said else "I do not know."


class CannedModel(SimpleResponsesAPIModel):
    config: CannedModelConfig

    async def responses(self, body: NeMoGymResponseCreateParamsNonStreaming = Body()) -> NeMoGymResponse:
        items = body.input if isinstance(body.input, list) else []
        prompt = body.input if isinstance(body.input, str) else ""
        for item in items:
            if item.type == "message" and item.role == "user":
                prompt = item.content
        answered = sum(item.type == "function_call_output" for item in items)
        calls = re.findall(r"CALL (\w+) (\{.*?\})", prompt)
        thought = NeMoGymResponseReasoningItem(
            id=f"rs_{uuid4().hex}", summary=[NeMoGymSummary(text="hm", type="summary_text")], type="reasoning"
        )
        output: list[NeMoGymResponseOutputItem] = [thought]
        if answered < len(calls):
            name, arguments = calls[answered]
            output.append(
                NeMoGymResponseFunctionToolCall(
                    arguments=arguments, call_id=f"call_{uuid4().hex}", name=name, type="function_call"
                )
            )
        else:
            text = NeMoGymResponseOutputText(text=answer_to(prompt), type="output_text", annotations=[])
            output.append(NeMoGymResponseOutputMessage(id=f"msg_{uuid4().hex}", content=[text]))
        return NeMoGymResponse(
            id=f"resp_{uuid4().hex}",
            created_at=int(time.time()),
            model=body.model or "canned",
            object="response",
            output=output,
            tool_choice=body.tool_choice if body.tool_choice else "auto",
            parallel_tool_calls=body.parallel_tool_calls or False,
            tools=body.tools,
            temperature=body.temperature,
            usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
        )

    async def chat_completions(
        self, body: NeMoGymChatCompletionCreateParamsNonStreaming = Body()
    ) -> NeMoGymChatCompletion:
        message = NeMoGymChatCompletionMessage(
            role="assistant", content=answer_to(body.messages[-1]["content"]), tool_calls=None
        )
        return NeMoGymChatCompletion(
            id=f"chtcmpl-{uuid4().hex}",
            choices=[NeMoGymChoice(index=0, finish_reason="stop", message=message)],
            created=int(time.time()),
            model="canned",
            object="chat.completion",
        )


if __name__ == "__main__":
    CannedModel.run_webserver()
