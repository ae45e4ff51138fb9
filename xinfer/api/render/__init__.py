"""Answers as bytes: what clients of OpenAI and of Xinference expect to read."""
