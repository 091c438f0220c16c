"""The client of Apigee Sync: a token, snapshots, change lists, and the scope data that follows from them.

* the loop: ``follow``, with ``state`` (how well it goes), ``backoff`` (how long it waits) and ``outage`` (what the log
  is told of failures);
* a call: ``client`` makes the three of them, over ``http``, with ``identity``, ``redirect`` and ``errors``; ``token``
  keeps a good token, by ``token_life``; ``wire`` reads what the change server answers;
* a snapshot: ``fetch`` takes one, ``build`` makes the file of a version of it, ``store`` keeps the versions, and
  ``tables`` says what is in one;
* a change list: ``database`` puts it into the file, ``rows`` decides what becomes of a row, ``values`` brings values
  to one form, ``sequence`` compares where lists stand, and ``concern`` gathers what workers have to forget.
"""
