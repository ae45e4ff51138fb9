"""What every engine on xllamacpp needs of it."""
