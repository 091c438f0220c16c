"""Who this collector is to Apigee Sync, as request headers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

PLUGINS: Final = [{"name": "apidAnalytics", "schemaVer": "0.0.2"}, {"name": "apidApigeeSync", "schemaVer": "0.0.2"}]
"""What the Go original reports of itself; a server may decide by it which data to send."""


class Identity:
    """The headers that say who asks. Underscores in header names are the protocol's own."""

    def __init__(
        self, *, instance_id: str, cluster_id: str, instance_name: str, is_new: bool, now: Callable[[], float]
    ) -> None:
        """``is_new``: nothing was ever synchronized, so the first token request announces a new instance."""
        self.cluster_id = cluster_id
        self._instance_id = instance_id
        self._instance_name = instance_name
        self._is_new = is_new
        self._now = now

    def __repr__(self) -> str:
        return f"<Identity {self._instance_id} of cluster {self.cluster_id}>"

    def for_token(self) -> dict[str, str]:
        """Return the headers of a token request."""
        when = "created_at_apid" if self._is_new else "updated_at_apid"
        self._is_new = False
        return {
            "display_name": self._instance_name,
            "apid_instance_id": self._instance_id,
            "apid_cluster_Id": self.cluster_id,
            "status": "ONLINE",
            "plugin_details": msgspec.json.encode(PLUGINS).decode(),
            when: self._time(),
        }

    def for_data(self, token: str) -> dict[str, str]:
        """Return the headers of a snapshot or change request."""
        return {
            "Authorization": f"Bearer {token}",
            "apid_instance_id": self._instance_id,
            "apid_cluster_Id": self.cluster_id,
            "updated_at_apid": self._time(),
        }

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).astimezone().isoformat(timespec="seconds")
