"""How agent, workers and commands talk: worker processes, their channel, and ``control.sock``."""
