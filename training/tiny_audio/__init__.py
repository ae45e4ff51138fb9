"""tiny-whisper: a Whisper that knows spoken digits, for first looks and tests."""
