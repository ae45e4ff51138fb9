"""Embedding and rerank models of .gguf files, through the wheel of the base install."""
