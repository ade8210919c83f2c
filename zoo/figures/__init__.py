"""Figures of matplotlib and grids of images."""
