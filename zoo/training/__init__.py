"""Training: updates, optimisers, Trainer flags and checkpoints."""
