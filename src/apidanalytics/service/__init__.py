"""The composition root: what runs in which process, how it is joined, and in which order it starts and stops.

* the agent: ``run`` is its process, ``agent`` its life, ``build_agent`` joins its parts; what is more than a line to
  make is in ``parts``, ``administration``, ``access``, ``keys``, ``keep_disk``, ``certificates``, ``files``,
  ``identity``, ``tls``, ``deliverable``, ``log_setup`` and ``heap``; ``signals`` and ``notify`` deal with the system;
* a worker: ``build_worker`` joins it, ``worker`` is its life, ``worker_report`` what it tells the agent;
  ``scope_feed``, ``lease``, ``floods``, ``masking`` and ``stepping`` are what it does across rooms;
* what the agent does across rooms: ``crew`` has the workers, ``packing`` the spools, ``disk`` the limits (with
  ``spool_shares``), ``scope_steps`` the scope data: by ``scope_news`` from a file, or by ``sync`` from Apigee Sync,
  with ``ready_answers``;
* a reload or an upgrade: ``changing``, decided by ``reload``;
* to look at it and order it about: ``commands`` is the table, of ``answers`` (``queries``, ``tenant_rows``), ``orders``
  and ``flush``; ``insight`` is what there is to know, of the ``watched`` parts, by ``census``, ``counts``, ``history``,
  ``facts`` and ``damaged``; what commands at the shell ask, and do themselves where no service runs: ``overview``,
  ``scope_answers``, ``failed`` and ``stopped``;
* the collection service: ``collection``, ``collection_parts`` and ``collection_tls``.
"""
