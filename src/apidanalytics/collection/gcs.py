"""Signed URLs (V4) for Google Cloud Storage, by google-cloud-storage (``apidanalytics[gcs]``).

The signature covers host, key, expiry, content type and create-only. Encryption at rest is the rule there and needs
no header. Most of the time goes into RSA: where that is too much, an ``s3`` store with an HMAC key of the same bucket
(endpoint ``https://storage.googleapis.com``) signs in a third of it.
"""

import json
from typing import Final

from google.cloud import storage
from google.oauth2 import service_account

from apidanalytics.collection.ports import Put, SignedPut

CREATE_ONLY: Final = {"x-goog-if-generation-match": "0"}
"""The object must not exist yet."""


class GcsStore:
    """One bucket."""

    def __init__(
        self, *, bucket: str, credentials: str, endpoint: str | None = None, create_only: bool = False
    ) -> None:
        """Get ready; the credentials are the content of the service account's key file.

        Raises:
            ValueError: they are not the key of a service account.

        """
        try:
            account = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                json.loads(credentials)
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not the library's own words: they may quote the key.
            raise ValueError("the credentials are not the key of a service account (JSON)") from None
        client = storage.Client(project=account.project_id or "none", credentials=account)
        self._bucket = client.bucket(bucket)
        self._endpoint = endpoint
        self._create_only = create_only

    def __repr__(self) -> str:
        return f"<GcsStore {self._bucket.name}>"

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers."""
        create_only = CREATE_ONLY if self._create_only else {}
        where = {"api_access_endpoint": self._endpoint} if self._endpoint else {}
        url = self._bucket.blob(put.key).generate_signed_url(
            version="v4",
            method="PUT",
            expiration=put.expires_seconds,
            content_type=put.content_type,
            headers=dict(create_only),
            **where,
        )
        return SignedPut(url=url, headers={"Content-Type": put.content_type, **create_only})

    def refresh(self) -> None:
        """Do nothing: the key of a service account signs by itself."""
