"""llama.cpp through llama-cpp-python: continuous batching on its low-level interface."""
