"""Stage 1, in the workers: from the bytes of a POST to a batch that the spool can keep.

In the order in which a request passes:

* a connection: ``listener`` takes it, ``protocol`` is its life, with ``gate`` (does it read, and why not), ``intake``
  and ``answers`` (what comes in, what is owed); ``peers``, ``reclaim``, ``limits``; what all of a worker share is in
  ``server_state``, and ``budget`` bounds their bodies;
* a request: ``request`` parses it, with ``head``, ``body`` and ``spellings``; ``repeats`` does so without a parser;
  ``http`` is what a handler sees of it, and ``refusals`` are the answers of the server itself;
* whose turn it is: ``lanes`` and ``whose`` tell the tenant, ``crowd`` and ``turns`` go round; ``held_back``, with
  ``pace`` and ``refused``, keeps floods from the others;
* what is asked: ``accept`` is the handler and makes the checks in their order, with ``routes``, ``guard``, ``lookups``
  and ``probes``; ``busy``, ``defects`` and ``counters`` are about its answers;
* its body: ``payload`` reads it, by ``inflate``, ``decode``, ``records``, ``validate`` and ``enrich``; ``mask``,
  ``masked_values`` and ``edit`` change what must not be stored; ``large``, ``sliced`` and ``slices`` do it in steps;
* its batch: ``once`` where there is an ``Idempotency-Key``, then ``entrance`` and ``lease`` (is there room on the
  disk), ``waiting`` (is there room in the buffer), and the spool.

What it needs from others is in ``ports``.
"""
