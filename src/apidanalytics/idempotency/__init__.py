"""Each batch once: which ``Idempotency-Key`` is taken, by what body, and whether its batch is stored."""
