"""Engines that make vectors of texts and scores of pairs, one folder a library."""
