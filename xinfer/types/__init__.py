"""What crosses rooms: specifications, requests, events, states. Plain, immutable, no logic."""
