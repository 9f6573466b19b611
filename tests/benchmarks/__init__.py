"""Benchmarks: what a rollout, an import and an HTTP client cost. `docs/performance.md` has their commands."""
