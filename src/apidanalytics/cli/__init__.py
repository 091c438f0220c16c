"""The command line: the only code that prints or exits.

* ``main`` finds the command; the options of most stand in ``looking_options``, ``proof_options`` and
  ``failed_options``, which load nothing of what the command does;
* a command, in the module of its name: ``audit``, ``check_config``, ``collection``, ``completion``, ``doctor``,
  ``events``, ``failed`` (with ``failed_export``), ``files``, ``flush``, ``inspect``, ``run``, ``scopes``, ``status``
  (with ``watch``), ``tail``, ``tenants``, ``token``; two in one: ``change`` (reload, upgrade), ``uploads`` (pause,
  resume);
* what they share: ``asking`` the service or its directory; ``when`` and ``tenant_name`` read what people type;
  ``drawing``, ``fitting`` and ``flow_view`` show; ``ending`` and ``exit_code`` say how it went.
"""
