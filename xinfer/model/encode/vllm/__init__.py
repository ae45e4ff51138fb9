"""Embedding and rerank models on vLLM."""
