"""Configuration: YAML files, env.yaml and overrides become one frozen value, checked before anything starts."""
