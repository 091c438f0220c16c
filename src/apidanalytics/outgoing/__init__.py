"""What every outgoing HTTP call shares: the forward proxy, the trusted certificates, and errors without secrets."""
