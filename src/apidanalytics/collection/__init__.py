"""The endpoint that hands out signed URLs: embedded in the agent, or a service of its own; a module for each store.

* a request: ``server`` takes it, ``asked`` and ``paths`` read it, ``tenants`` decides, ``rate`` bounds it, ``audit``
  notes it; ``embedded`` is the endpoint within the agent, and ``answers`` are those that both give; ``http_log`` keeps
  secrets out of the log;
* a store: ``ports`` is what is asked of one; ``s3``, ``gcs``, ``azure`` and ``local`` sign; ``s3_form`` and
  ``gcs_form`` spare the libraries most of the work, by texts with ``gaps``; ``signature`` is that of a folder, and
  ``lake`` is the folder;
* its file: ``settings`` reads it by the tables of ``keys``, and ``prefixes`` keeps tenants apart.
"""
