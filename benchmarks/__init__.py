"""Benchmarks: figures that hold on any machine, because each is a ratio or a processor time."""
