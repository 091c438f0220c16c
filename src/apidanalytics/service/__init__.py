"""The composition root: what runs in which process, how it is joined, and in which order it starts and stops.

``build_agent``, ``build_worker`` and ``collection`` join the parts of the three kinds of process; what is more than a
line to make has a module of its own (``parts``, ``keys``, ``sync`` and others). ``agent`` and ``worker`` are the lives
of two of them. ``packing``, ``disk`` and ``ready_answers`` are what the agent does across rooms; ``insight`` and
``commands`` are how others look at it and order it about.
"""
