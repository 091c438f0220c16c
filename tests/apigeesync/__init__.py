"""A stand-in for the three servers of Apigee Sync: token, snapshots, changes. Tests drive it by calls, people by hand.

Read it in this order::

    tables.py     which tables there are            ->  database.py   rows, transactions, the log of changes
    values.py     the forms of a value on the wire
    snapshots.py  the database as a SQLite file     ->  server.py     the endpoints, on a real socket
    changes.py    what changed since, as JSON
    tokens.py     who may ask
    faults.py     what goes wrong, on demand
    accounts.py   scopes and API keys, as rows      ->  commands.py, __main__.py   by hand

``python -m tests.apigeesync`` starts it; ``InThread(StandIn(database))`` does within a test.
"""
