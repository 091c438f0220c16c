"""Stage 1, in the workers: from the bytes of a POST to a batch that the spool can keep."""
