"""The administration address: the status page, the API behind it, the metrics and the probes.

It knows nothing of the service but one function, which answers requests (``service.commands``).
"""
