"""The token ledger: what a model sampled, call by call, from which the next prompt is built."""
