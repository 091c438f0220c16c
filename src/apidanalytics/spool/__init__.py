"""Stage 2, in the workers: batches made durable by group commit, in files written from end to end."""
