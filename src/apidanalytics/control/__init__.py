"""How agent, workers and commands talk: worker processes, their channel, and ``control.sock``.

* workers: ``supervisor`` keeps them alive; ``spawn`` starts a process, ``child`` is one, ``channel`` the pipe to it,
  and ``tally`` adds up what they count;
* what outlives an agent: ``lock`` and ``sockets``; ``handover`` passes them on to the next one, and ``former`` are the
  workers of the one before;
* commands: ``server`` is ``control.sock``.
"""
