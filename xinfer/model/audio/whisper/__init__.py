"""Whisper on PyTorch, by Transformers' model and a decoder of our own."""
