"""Request bodies as pydantic models, each able to say what the rooms below make of it."""
