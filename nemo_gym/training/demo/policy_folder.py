"""The policy's folder: a tiny model, its tokenizer and chat template, made and warmed up on the spot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.prepare import TaskRow
from nemo_gym.training.demo.conversations import Conversation, tokens_of
from nemo_gym.training.demo.demonstrations import play_demonstrations
from nemo_gym.training.demo.model import make_model
from nemo_gym.training.demo.task import DemoTask
from nemo_gym.training.demo.tokenizer import make_tokenizer
from nemo_gym.training.demo.warm_up import warm_up


@dataclass(frozen=True)
class WarmUp:
    """What came of it."""

    num_demonstrations: int
    demonstrated_reward: float
    """Mean reward of the demonstrations."""
    num_parameters: int
    vocabulary_size: int
    loss: float
    """The last one, nats a token."""


def make_policy_folder(
    folder: Path, task: DemoTask, rows: list[TaskRow], seed: int, on_step: Callable[[int, float], None]
) -> WarmUp:
    """Write config, weights and tokenizer of a model that has seen one demonstration of each row."""
    rollouts = play_demonstrations(task, rows, seed)
    conversations = [Conversation.of(rollout) for rollout in rollouts]
    tokenizer = make_tokenizer(conversations[:300])
    model = make_model(tokenizer, task.num_layers, seed)
    examples = [tokens_of(conversation, tokenizer) for conversation in conversations]
    loss = warm_up(model, examples, pad_id=tokenizer.pad_token_id, seed=seed, on_step=on_step)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return WarmUp(
        num_demonstrations=len(rollouts),
        demonstrated_reward=sum(rollout["reward"] for rollout in rollouts) / len(rollouts),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        vocabulary_size=len(tokenizer),
        loss=loss,
    )
