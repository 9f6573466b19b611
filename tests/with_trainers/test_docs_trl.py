"""The page `docs/trl.md`: its program trains as printed; its tables name what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("trl", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from nemo_gym.training.trl import RolloutOptions  # noqa: E402
from nemo_gym.training.trl.gym_rollouts import metrics_of, output_of  # noqa: E402
from nemo_gym.training.trl.ladder import STEPS_DOWN  # noqa: E402
from nemo_gym.training.trl.options import CREDITS_OF  # noqa: E402
from nemo_gym.training.trl.rollout import masked_sequence, own_rollout  # noqa: E402
from tests.e2e.documents import ROOT, checkout_in, shell, write_files  # noqa: E402

PAGE = ROOT / "docs" / "trl.md"
TEXT = PAGE.read_text(encoding="utf-8")
NOTHING = own_rollout(masked_sequence([1], 0), mode_reason="", step=None)


@pytest.mark.e2e
def test_the_program_trains_on_policy(tmp_path: Path) -> None:
    write_files(PAGE, checkout_in(tmp_path))
    shell("python make_policy.py", tmp_path)
    printed = shell("python train_trl.py", tmp_path)
    said = re.findall(r"^step (\d): (\S+) turns, reward -\S+, mismatch (\S+)$", printed, re.MULTILINE)
    assert [step for step, _, _ in said] == ["1", "2", "3"]
    assert all(float(turns) >= 1 and float(mismatch) < 1e-4 for _, turns, mismatch in said)


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_option_is_on_the_page_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+?) \| ", section("Options"), re.MULTILINE))
    named = {option: default for cell, default in rows.items() for option in re.findall(r"\w+", cell)}
    assert named.keys() == {one.name for one in fields(RolloutOptions)}
    defaults = RolloutOptions()
    for cell, default in rows.items():
        options = re.findall(r"\w+", cell)
        for option, told in zip(options, default.split(", "), strict=True):
            value = getattr(defaults, option)
            said = {None: "none", True: "true"}.get(value) if value is None or value is True else f"{value}"
            if option == "fallbacks":
                assert tuple(value) == STEPS_DOWN and told == "all three"
            elif isinstance(value, int | float) and not isinstance(value, bool):
                assert float(told) == value, option
            else:
                assert told.strip("`") == said, option


def test_every_estimator_is_on_the_page() -> None:
    assert [name for name in CREDITS_OF if f"`{name}`" not in section("Options")] == []


def test_every_field_that_reward_functions_get_is_on_the_page() -> None:
    to_trl = {"prompt_ids", "completion_ids", "logprobs", "env_mask"}
    named = section("Rows and rewards")
    assert [key for key in output_of([NOTHING]).keys() - to_trl if f"`{key}`" not in named] == []


def test_every_metric_is_on_the_page() -> None:
    named = section("Metrics").replace("rollouts/fallback/<step>", "")
    missing = [name for name in metrics_of([NOTHING]) if name not in named]
    assert all(name.startswith("rollouts/fallback/") for name in missing) and "`rollouts/fallback/<step>`" in TEXT
