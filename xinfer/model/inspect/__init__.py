"""What a file or directory is: type, format, size, context, abilities."""
