"""Helpers of the image datamodules."""
