"""Text to speech on ONNX Runtime, by Piper's voices."""
