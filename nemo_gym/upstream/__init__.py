"""What model servers share that stand in front of an OpenAI-compatible endpoint: calls, replicas, refusals, streams."""
