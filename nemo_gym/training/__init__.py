"""From stored rollouts to what a trainer learns from: samples, masks, rewards, credit and advantages, on NumPy arrays."""
