"""Fuzzing: bytes that grow towards every branch of the code that reads what others wrote (``make fuzz``)."""
