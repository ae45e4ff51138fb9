"""Embedding and rerank models of .gguf files, through llama-cpp-python."""
