"""A critic: a value head on the policy's hidden states, which says what is still to be earned before each token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from nemo_gym.training.groups import FloatArray
from nemo_gym.training.trl.rollout import TokenSequence


class Critic(nn.Module):  # type: ignore[misc]
    """It learns from hidden states that are held fast: the policy is not changed by what the critic learns."""

    def __init__(self, hidden_size: int, *, learning_rate: float, num_epochs: int, device: torch.device) -> None:
        super().__init__()
        self.num_epochs = num_epochs
        self.head = nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, hidden_size), nn.GELU())
        self.out = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.to(device)
        self._optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., hidden size] → [...]."""
        values: torch.Tensor = self.out(self.head(hidden)).squeeze(-1)
        return values

    def values(self, hidden: Sequence[torch.Tensor]) -> tuple[list[FloatArray], FloatArray]:
        """Of sequences [C + 1, hidden size]: V before each of C tokens; and V after the last one, of each sequence."""
        with torch.no_grad():
            all_values = [self(states).double().cpu().numpy() for states in hidden]
        return [each[:-1] for each in all_values], np.array([each[-1] for each in all_values])

    def learn(self, hidden: Sequence[torch.Tensor], returns: Sequence[FloatArray], masks: Sequence[list[int]]) -> float:
        """Fit V to the returns [C] of trained tokens; returns the mean squared error before learning."""
        chosen = [
            torch.tensor(mask, dtype=torch.bool, device=states.device)
            for mask, states in zip(masks, hidden, strict=True)
        ]
        inputs = torch.cat([states[:-1][mask] for states, mask in zip(hidden, chosen, strict=True)])
        wanted = [torch.as_tensor(each, dtype=torch.float32, device=inputs.device) for each in returns]
        targets = torch.cat([each[mask] for each, mask in zip(wanted, chosen, strict=True)])
        if not targets.numel():
            return 0.0
        losses = []
        for _ in range(self.num_epochs):
            with torch.enable_grad():
                loss = nn.functional.mse_loss(self(inputs), targets)
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
            losses.append(float(loss.detach()))
        return losses[0]


def hidden_states(
    backbone: nn.Module, sequences: Sequence[TokenSequence], *, device: torch.device
) -> list[torch.Tensor]:
    """[C + 1, hidden size] of each sequence: states of the last layer before each completion token, and after them."""
    found = []
    with torch.no_grad():
        for one in sequences:
            ids = torch.tensor([[*one.prompt_ids, *one.completion_ids]], device=device)
            states = backbone(input_ids=ids).last_hidden_state[0]
            found.append(states[len(one.prompt_ids) - 1 :].float())
    return found
