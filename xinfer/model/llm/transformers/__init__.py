"""The engine on Transformers: language models in their own format, on PyTorch."""
