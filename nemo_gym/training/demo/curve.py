"""The reward curve as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from nemo_gym.training.demo.record import TrainingRecord


def save_curve(path: Path, record: TrainingRecord, *, title: str, demonstrated: float | None) -> None:
    """Rewards of the batches, and of the held-out rows, over steps; `demonstrated`: what the warm-up was shown."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    axes.plot(
        [one.step for one in record.steps], [one.reward for one in record.steps], color="#9ecae1", label="batches"
    )
    axes.plot([*record.held_out], [*record.held_out.values()], "o-", color="#08519c", label="held-out tasks")
    if demonstrated is not None:
        axes.axhline(demonstrated, color="#999999", linestyle="--", label="demonstrations")
    axes.set(xlabel="step", ylabel="mean reward", title=title, ylim=(min(0.0, axes.get_ylim()[0]), 1.02))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
