"""Language models on vLLM."""
