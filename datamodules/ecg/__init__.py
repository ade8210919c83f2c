"""Helpers of the ECG datamodules."""
