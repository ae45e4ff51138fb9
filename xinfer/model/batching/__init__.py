"""Requests of many clients, computed together by an engine that makes vectors or scores."""

from xinfer.model.batching.batcher import MicroBatcher
from xinfer.model.batching.job import Job, Outcome

__all__ = ["Job", "MicroBatcher", "Outcome"]
