"""Stage 2, in the workers: batches made durable by group commit, in append-only files."""
