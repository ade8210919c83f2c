"""Taking models elsewhere: export, the Hugging Face Hub and model cards."""
