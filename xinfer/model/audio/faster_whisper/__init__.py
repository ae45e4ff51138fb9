"""Whisper on CTranslate2, by faster-whisper."""
