"""The demonstration: believable traffic, a crash in the middle, and a check of every record in the lake."""
