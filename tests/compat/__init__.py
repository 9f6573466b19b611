"""Servers written as for NeMo Gym, and that they run here unchanged."""
