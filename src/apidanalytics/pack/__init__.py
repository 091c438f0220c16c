"""Stage 3, in the agent: from a sealed spool to one gzip file per tenant and start.

* the ordinary way: ``packer`` packs one spool: ``index`` and ``plan`` say which files it becomes, ``contents`` and
  ``compress`` fill them, ``stager`` and ``publish`` bring them to ``staging/``;
* what others left: ``recover`` (spools of dead workers), ``leftovers`` and ``salvage`` (half-written directories),
  ``adopt`` (files that the ledger does not know), ``buckets`` and ``strangers`` (what stands there, and what is none);
* what cannot be packed: ``patch`` makes a spool with bad sectors readable, ``resume`` goes on with one that was damaged
  half way, ``aside`` keeps what is not delivered.

What it needs from others is in ``ports``.
"""
