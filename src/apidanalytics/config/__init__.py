"""Settings: one table, read from a YAML file, the environment and the command line.

``load`` reads them and reports every problem at once; ``effective`` shows each with the place it came from. The rows
of the table are ``SETTINGS``, and each is a field of ``Settings``; ``docs/settings.md`` is held against them.

* the table: ``settings``, of rows as in ``setting``, whose values are of the ``kinds``, with ``units`` and
  ``addresses``;
* reading it: ``loading`` joins the ``sources``, and ``checks`` says what must hold between values; ``overview``
  shows them;
* other files whose keys stand in tables: ``document`` is their tree, ``tables`` reads it.
"""

from apidanalytics.config.addresses import parse_listen
from apidanalytics.config.loading import load, load_leniently
from apidanalytics.config.overview import Effective, effective, not_there, warnings
from apidanalytics.config.setting import Setting
from apidanalytics.config.settings import SETTINGS, Settings

__all__ = [
    "SETTINGS",
    "Effective",
    "Setting",
    "Settings",
    "effective",
    "load",
    "load_leniently",
    "not_there",
    "parse_listen",
    "warnings",
]
