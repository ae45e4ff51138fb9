"""What the engines on vLLM share: options, the start of its processes, and why one failed."""
