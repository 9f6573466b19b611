"""Door: the arithmetic of metrics, under the names that servers written for NeMo Gym import."""

from nemo_gym.metrics.pass_at_k import compute_pass_majority_metrics, compute_subset_metrics, highest_k_metrics

__all__ = ["compute_pass_majority_metrics", "compute_subset_metrics", "highest_k_metrics"]
