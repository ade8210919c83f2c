"""Building blocks of the image datamodules."""
