"""Figures drawn with matplotlib, and grids of images."""
