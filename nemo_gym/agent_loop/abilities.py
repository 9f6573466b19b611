"""What a model server can beyond answering: asked once by each agent process."""

from __future__ import annotations

from nemo_gym.base_responses_api_model import CAPABILITIES_ROUTE
from nemo_gym.errors import LaunchError, RequestError
from nemo_gym.serving.server_client import ServerClient

CAPABILITIES_TIMEOUT_S = 60.0
"""Model servers may start at the same time; those that load weights must not be waited for much longer."""


class ModelAbilities:
    """Abilities of the model servers of a run. One that answers nothing sensible to the question has none."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._known: dict[str, dict[str, object]] = {}

    async def remembers_conversations(self, server_name: str) -> bool:
        """Whether it takes `previous_response_id`, and an `Idempotency-Key`. False while it cannot be asked."""
        try:
            return (await self._ask(server_name)).get("previous_response_id") is True
        except RequestError:
            return False

    async def require_continuation(self, server_name: str) -> None:
        """Raises `LaunchError` where the model server cannot continue an assistant message."""
        if (await self._ask(server_name)).get("continue_final_message") is not True:
            raise LaunchError(
                f"`use_conversation_multi_turn: false` is not supported by the model server `{server_name}`: it cannot "
                "continue an assistant message; set it to true, or use vllm_model before an engine that can"
            )

    async def _ask(self, server_name: str) -> dict[str, object]:
        if server_name not in self._known:
            answer = await self._client.get(server_name, CAPABILITIES_ROUTE, timeout_s=CAPABILITIES_TIMEOUT_S)
            told = answer.parse() if answer.ok else {}
            self._known[server_name] = told if isinstance(told, dict) else {}
        return self._known[server_name]
