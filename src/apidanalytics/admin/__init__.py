"""The administration address: the status page, the API behind it, the metrics and the probes.

It knows nothing of the service but one function, which answers requests (``service.commands``).

* the address: ``server`` listens, ``guard`` says who is let in, ``application`` turns requests into commands by the
  ``routes``, and ``pages`` has the files of the status page;
* metrics: ``metrics`` declares each, ``readings`` reads it off the answer, ``labels`` says which tenants have series of
  their own; ``exposition`` is their form for Prometheus, ``otlp`` that for OpenTelemetry.
"""
