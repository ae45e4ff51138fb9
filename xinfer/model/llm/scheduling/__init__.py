"""Continuous batching for engines that compute token by token, whatever computes them."""
