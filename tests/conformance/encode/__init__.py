"""Encode engines held to the contract of `xinfer.model.encode_engine`."""
