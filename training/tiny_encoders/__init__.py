"""Makes tiny-embed and tiny-rerank, the two small encoders of the catalogue."""
