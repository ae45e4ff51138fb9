"""What the engines on llama-cpp-python share: the library, and a model in memory."""
