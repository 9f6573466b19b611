"""The loop of an episode: seed → model call ⇄ tools → verify, with budgets and typed failures."""
