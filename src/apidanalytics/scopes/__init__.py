"""Who a scope, an org and env, or an API key is: look-ups for the workers, sources for the agent.

* what is published: ``source`` is the port, ``tables`` names the tables as apid lays them out, ``live`` those that a
  file which follows a feed has beside them;
* in the agent, from a file of the user's to a version: ``watch`` notices a change, ``forms`` tells a scopes file
  (``scopes_yaml``, ``yaml_tree``) from a database, ``compile`` writes the one layout that workers read, and
  ``versions`` keeps what was made, with its table of ``known_keys``;
* in a worker: ``lookup`` answers, from memory or from the ``database``; ``tenants`` are read whole, with their
  ``flaws``; ``developers`` remembers the ``tails`` of API keys (``remembered``), and ``dependents`` which of them a
  change concerns;
* news of a change list: ``news`` is what it says, ``heard`` joins what does not count yet;
* ready answers, of a live file: ``ready`` reads them, ``ready_build`` makes them.

What goes wrong for a while is said once, by ``trouble``.
"""
