"""llama.cpp from a wheel: the engine of the base install."""
