"""From stored rollouts to what a trainer learns from: samples, masks, rewards, credit, advantages, on NumPy arrays."""
