"""Makes tiny-image, the small model of the catalogue that draws."""
