"""Each batch once: which ``Idempotency-Key`` is taken, by what body, and whether its batch is stored.

A worker asks with a wish; the index grants a claim; what becomes of the claim's batch settles it.

* in a worker: ``desk`` takes wishes and settlements to the index, and ``owner`` shows that the worker lives;
* in the agent: ``settler`` settles what dead workers left open, by the claims in their spools (``claimed``);
* the file: ``index`` is what can be asked of it, ``window`` says which rows may go, ``turn`` who may use it;
  ``current`` finds, makes and replaces it, and ``lost`` is what is known of one that was set aside.
"""
