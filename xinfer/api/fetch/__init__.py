"""What a request names by URL: fetched here, and nowhere else."""

from xinfer.api.fetch.fetcher import Fetcher, Reference, is_remote

__all__ = ["Fetcher", "Reference", "is_remote"]
