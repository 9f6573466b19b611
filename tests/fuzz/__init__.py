"""Fuzzing: made-up input for every endpoint and every parser. `make fuzz` tries thousands of cases."""
