"""What can go wrong with Apigee Sync. No text of these errors holds a token, a secret or a whole URL."""

from apidanalytics.errors import ApidAnalyticsError


class SyncError(ApidAnalyticsError):
    """An attempt failed; another one, later, may not."""


class TokenRefusedError(SyncError):
    """The server does not take the token, not even a new one."""


class AccountRefusedError(SyncError):
    """The server gives no token to this key and secret."""


class SnapshotNeededError(SyncError):
    """What is stored cannot be brought forward by change lists: only a new snapshot helps."""
