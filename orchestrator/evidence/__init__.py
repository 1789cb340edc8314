"""Evidence beside an image, in formats that other people's programs read."""
