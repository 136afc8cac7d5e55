"""Data sets in use: selection of images, decoding, downloads."""
