"""Logs, one structured line per change of state, with secrets masked; and distributions, for the metrics."""
