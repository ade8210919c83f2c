"""Building blocks of the text datamodules."""
