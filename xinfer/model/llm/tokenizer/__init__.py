"""Tokenizers for models whose files are GGUF, without torch."""
