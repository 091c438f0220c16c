"""The keys of a token's entry that the files of all services share."""

from typing import Final

from apidanalytics.config.kinds import text
from apidanalytics.config.tables import Key

NAME: Final = text(expected="1 to 64 characters of A-Z a-z 0-9 . _ -", form=r"[A-Za-z0-9._-]{1,64}")
TENANT: Final = text(
    expected="<org>~<env>, where * stands for any characters and ~, / and others within a name are percent-encoded",
    form=r"[^~/\s]+~[^~/\s]+",
)
SCOPE: Final = text(expected="the uuid of a scope, without spaces", form=r"[^\s/]{1,200}")
TOKEN_HASH: Final = text(
    expected="sha256: and 64 hex digits, as `apidanalytics token` prints it", form=r"sha256:[0-9a-f]{64}"
)
HASH: Final = Key(
    name="hash", kind=TOKEN_HASH, required=True, help="Of the token, as the command that makes one prints it."
)
