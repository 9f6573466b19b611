"""YAML blocks as the guides of trainers print them, for tests."""

from __future__ import annotations

TURNS = """\
train_cfgs:
  multi_turn: true              # Enable multi-turn training
  bi_level_gae: true           # Use bi-level GAE
  high_level_gamma: 0.95       # Turn-level discount factor
  max_turn: 3                  # Maximum turns per episode
  gamma: 1.0                   # Token-level discount factor
  gae_lambda: 1.0              # GAE lambda parameter
"""

LAKE = """\
agent_proxy:
  max_turn: 3                  # Max turns for agent proxy
  use_environment: true        # Enable environment interaction

env_cfgs:
  env_name: "frozen_lake"      # Environment name
  max_episode_length: 50       # Max episode length
"""

CONVERSATION = """\
generator:
  backend: sglang
  use_conversation_multi_turn: true  # REQUIRED for SGLang
  max_turns: 5                        # Maximum turns per episode

  sampling_params:
    max_generate_length: 1024
    temperature: 1.0
"""

STEP_WISE = """\
# Enable step-wise training
generator.step_wise_trajectories: true

# Multi-turn settings
generator.use_conversation_multi_turn: true
generator.max_turns: 6

# Long context support
generator.max_input_length: 29000
generator.sampling_params.max_generate_length: 3000

# DAPO dual-clip for stability
trainer.algorithm.policy_loss_type: "dual_clip"
"""

SMALLER = """\
generator:
  gpu_memory_utilization: 0.7  # Lower to leave headroom
  max_num_seqs: 256            # Reduce concurrent sequences
"""

TURNS_TYPED = "--train_cfgs.multi_turn true --train_cfgs.bi_level_gae true --train_cfgs.max_turn 3"
ENVIRONMENT_TYPED = '--train_cfgs.multi_turn true --train_cfgs.bi_level_gae true --env_cfgs.env_name "your_environment"'
SQL_TYPED = "+experiment=text_to_sql generator.backend=sglang generator.max_turns=5"
