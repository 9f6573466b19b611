"""Unit tests of quiz_metrics, in the style of its neighbours."""

from unittest.mock import MagicMock

import pytest
from resources_servers.quiz_metrics.app import QuizConfig, QuizServer, grade

from nemo_gym.base_resources_server import AggregateMetricsRequest
from nemo_gym.server_utils import ServerClient


def make_server() -> QuizServer:
    config = QuizConfig(host="0.0.0.0", port=8080, entrypoint="", name="")
    return QuizServer(config=config, server_client=MagicMock(spec=ServerClient))


def rollout(task: int, index: int, reward: float, answer: str, subject: str = "maths") -> dict:
    indices = {"_ng_task_index": task, "_ng_rollout_index": index}
    return {**indices, "reward": reward, "extracted_answer": answer, "subject": subject}


ROLLOUTS = [
    rollout(0, 0, 1.0, "4"),
    rollout(0, 1, 0.0, "5"),
    rollout(1, 0, 0.0, "a", "art"),
    rollout(1, 1, 0.0, "b", "art"),
]


class TestApp:
    def test_grade(self) -> None:
        assert grade("answer: 4", "4", strict=True) == ("4", 1.0)
        assert grade("4", "4", strict=True) == (None, 0.0)

    async def test_aggregate_metrics(self) -> None:
        metrics = await make_server().aggregate_metrics(AggregateMetricsRequest(verify_responses=ROLLOUTS))
        assert metrics.agent_metrics["pass@2/accuracy"] == pytest.approx(50.0)
        assert metrics.agent_metrics["maths/pass@1[avg-of-2]/accuracy"] == pytest.approx(50.0)
        assert metrics.agent_metrics["num_tasks"] == 2
        assert metrics.agent_metrics["distinct_rollouts"] == 4
        assert set(metrics.key_metrics) == {"pass@2/accuracy", "pass@1[avg-of-2]/accuracy", "pass@1[avg-of-2]/reward"}
