"""Statistics of finished rollouts: pure arithmetic on plain numbers, standard library only."""
