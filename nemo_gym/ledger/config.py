"""Keys of model servers that keep a ledger."""

from __future__ import annotations

from pydantic import Field

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig
from nemo_gym.ledger.ledger import Ledger


class LedgerConfig(BaseResponsesAPIModelConfig):
    """Keys of model servers that keep a ledger."""

    max_ledger_ids: int = Field(default=100_000_000, ge=1)
    """So many token ids are held for rollouts under way; then those used longest ago go. About 8 bytes each."""
    ledger_idle_s: float = Field(default=3600.0, gt=0)
    """A rollout without a call for so long goes too. One that went is sent again as a whole by its agent."""

    def new_ledger(self) -> Ledger:
        """An empty one, of that size."""
        return Ledger(max_ids=self.max_ledger_ids, idle_s=self.ledger_idle_s)
