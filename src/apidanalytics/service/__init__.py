"""The composition root: what runs in which process, how it is joined, and in which order it starts and stops.

``build_agent`` and ``build_worker`` are the only places that make concrete parts. ``agent`` and ``worker`` are the
lives of the two kinds of process, ``packing`` and ``status`` what the agent does across stages.
"""
