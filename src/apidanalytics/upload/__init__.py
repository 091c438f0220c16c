"""Stage 4, in the agent: from a staged file to the object store, and the ledger of it all."""
