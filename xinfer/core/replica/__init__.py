"""The process around one engine: admission, the pipeline, and the link server."""
