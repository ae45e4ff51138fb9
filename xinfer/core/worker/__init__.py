"""The worker: one on each node; starts, watches and stops replica processes."""
