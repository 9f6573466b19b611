"""Writing the first version of a component, to start from."""
