"""Text to speech on PyTorch, by Transformers' models."""
