"""How much of the disk may be used: what is measured, and what follows from it.

``decide`` is pure: limits, a measurement and what held before give how much the workers may take, who has to wait,
and what is to be dropped. ``meter`` measures. The agent joins them, and tells the workers.
"""
