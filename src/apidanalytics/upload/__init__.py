"""Stage 4, in the agent: from a staged file to the object store, and the ledger of it all.

* what is sent next: ``queue`` with a ``lane`` for each tenant, ``dispatch`` over it, ``turns``; pure functions decide
  (``decide``, ``breaker``, ``pace``) by the ``outcome`` of each attempt;
* an attempt: ``uploader`` is the loop, ``prepare`` opens files ahead (``content``, ``checksum``, ``room``), ``sender``
  has those that are on their way, ``client`` asks for the URL and puts the file, over ``exchange``, ``connection`` and
  ``pool``; ``answers`` and ``verify`` read what comes back, ``token`` has the bearer token;
* what became of it: ``settler`` and ``settle`` note results, in the ``ledger`` (``schema``, ``rows``, ``spools``,
  ``states``) and in the directories (``shelves``); ``attempts`` and ``disk`` say it; ``reconcile`` does so at start;
* what else moves files: ``revive`` (another chance), ``dropping`` (to make room), ``housekeeping``; ``pausing``;
* to look at it: ``view``, ``overview``, ``snapshot``, ``usage``.

What it needs from others is in ``ports``; ``settings`` are those of this room.
"""
