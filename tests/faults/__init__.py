"""Everything that may break around a collection, broken on purpose: `python -m tests.faults`."""
