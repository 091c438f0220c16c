"""apidanalytics: from a POST of API traffic analytics to one gzip object per tenant and interval.

The way of a record::

    gateway --POST--> ingest --> spool --> pack --> staging/ --> upload --PUT--> object store
                      worker     worker    agent                 agent

* ``ingest``  reads HTTP, checks the batch, adds the tenant and developer data;
* ``spool``   makes it durable (one fsync for many batches), and only then the 200 goes out;
* ``pack``    turns a sealed spool into one gzip file per tenant and interval;
* ``upload``  delivers each file once and keeps the ledger of what became of it.

``scopes`` answers who a scope, an org and env, or an API key is. ``service`` joins the stages into
the two kinds of process: ingest workers, and the one agent that runs everything else.
"""

__version__ = "0.1.0"
