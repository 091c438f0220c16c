"""Who may use what: bearer tokens, known by their hashes, and the tenants that they are for."""
