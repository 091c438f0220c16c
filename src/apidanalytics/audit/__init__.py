"""Whether the books are right: what was accepted is all there, once. It reads and never changes anything.

* ``run`` joins the parts of an audit: ``spools`` and ``books`` add up, ``places`` compares the directories with the
  ledger, ``lake`` the objects with it, ``content`` reads files to their end; a ``difference`` is what they find;
* ``contents`` shows what is inside a file or a directory, ``tail`` follows what is being accepted, and ``masking``
  hides what a person need not see of it.
"""
