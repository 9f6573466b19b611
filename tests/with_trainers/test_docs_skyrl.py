"""The program on `docs/skyrl.md` in SkyRL's hands: the page's dataset, played with a policy of two ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("skyrl", reason="needs SkyRL: make test-training")
pytestmark = [pytest.mark.training, pytest.mark.e2e]

from tests.e2e.documents import ROOT, checkout_in, environment, shell, write_files  # noqa: E402
from tests.trainers.ranks import Policy  # noqa: E402

DRIVER = """
import asyncio, json, sys
from types import SimpleNamespace

sys.path.insert(0, {root!r})
from tests.with_trainers.skyrl_trainer import (
    EOS, Tokenizer, batch_for, config_of, learned_from, prompts_in, trainer_of
)
import train_skyrl

step_wise = json.loads(sys.argv[1])
client = SimpleNamespace(server_urls=sys.argv[2:], model_name="policy")
tokenizer = Tokenizer()
tokenizer.eos_token_id = EOS
experiment = train_skyrl.GymExp.__new__(train_skyrl.GymExp)
config = config_of(5, 2, step_wise=step_wise)
generator = experiment.get_generator(config, tokenizer, client)
try:
    batch, uids = batch_for(prompts_in("train.jsonl"), 2)
    learned = asyncio.run(learned_from(trainer_of(config, generator), batch, uids))
    print("learned", len(learned["sequences"]), int(learned["loss_mask"].sum() > 0), generator.options.credit)
finally:
    experiment.gym.shutdown()
"""


@pytest.mark.parametrize(("step_wise", "said"), [("false", "10 1 final"), ("true", "30 1 turn_as_trajectory")])
def test_the_program_plays_its_dataset(tmp_path: Path, step_wise: str, said: str) -> None:
    write_files(ROOT / "docs" / "skyrl.md", checkout_in(tmp_path))
    shell("python make_dataset.py", tmp_path)
    policy = Policy(tmp_path, num_ranks=2)
    try:
        urls = [url.removesuffix("/v1") for url in policy.base_urls]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER.format(root=str(ROOT)), step_wise, *urls],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        policy.stop()
    assert f"learned {said}" in done.stdout, done.stderr[-3000:]
