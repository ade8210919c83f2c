"""Building blocks of the ECG datamodules."""
