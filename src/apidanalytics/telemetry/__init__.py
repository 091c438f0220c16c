"""Logs: one structured line per change of state, with secrets masked."""
