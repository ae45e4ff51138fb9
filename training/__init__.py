"""Training of the models that ship with xinfer; not part of the installed package."""
