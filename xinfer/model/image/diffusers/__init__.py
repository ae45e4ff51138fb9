"""The diffusers engine: diffusion pipelines, on PyTorch."""
