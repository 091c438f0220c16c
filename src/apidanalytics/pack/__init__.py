"""Stage 3, in the agent: from a sealed spool to one gzip file per tenant and start."""
