"""Embedding and rerank models in Hugging Face's formats, through sentence-transformers."""
