"""Starting a run: its ports, its server processes, their logs, and their end."""
