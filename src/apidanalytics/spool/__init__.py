"""Stage 2, in the workers: batches made durable by group commit, in files written from end to end.

* to write: ``writer`` takes batches, a ``lane`` commits them group by group in a thread of its own, by its
  ``committer``, into its open spool (``file``); ``sealer`` hands that over to packing. ``fair`` and ``company`` say
  whose batches go first, and who has far more than others; ``limits`` when it is time;
* the format: ``frame``;
* to read: ``segment``, with ``tail`` (torn or damaged?) and ``sequences``; ``counting``, while a spool grows.
"""
