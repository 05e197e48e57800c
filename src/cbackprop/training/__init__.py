"""Training: the trainer, early stopping, history, checkpoints and restarts."""
