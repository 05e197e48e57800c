"""Training: the trainer, and what a fit watches, records, keeps and resumes."""
