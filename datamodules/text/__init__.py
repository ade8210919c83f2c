"""Helpers of the text datamodules."""
