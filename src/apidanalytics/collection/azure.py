"""Signed URLs (SAS) for Azure Blob Storage, by azure-storage-blob (``apidanalytics[azure]``).

A SAS covers account, container, key, expiry and what may be done (create, or also overwrite), and with
``encryption_scope`` the encryption; it cannot cover the content type. Encryption at rest is the rule there.
"""

import base64
import binascii
from datetime import UTC, datetime
from urllib.parse import quote

from azure.storage.blob import BlobSasPermissions, generate_blob_sas

from apidanalytics.collection.ports import Put, SignedPut


class AzureStore:
    """One container."""

    def __init__(
        self,
        *,
        account: str,
        container: str,
        account_key: str,
        endpoint: str | None = None,
        encryption_scope: str | None = None,
        create_only: bool = False,
    ) -> None:
        """Get ready.

        Raises:
            ValueError: the key is not base64.

        """
        try:
            base64.b64decode(account_key, validate=True)
        except binascii.Error:
            raise ValueError("the account key is not base64") from None
        self._account = account
        self._container = container
        self._account_key = account_key
        self._base = f"{endpoint or f'https://{account}.blob.core.windows.net'}/{container}/"
        self._encryption_scope = encryption_scope
        # Only "create" refuses what is there already; a header would be the client's to leave out.
        self._permission = BlobSasPermissions(create=True, write=not create_only)

    def __repr__(self) -> str:
        return f"<AzureStore {self._base}>"

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers."""
        sas = generate_blob_sas(
            account_name=self._account,
            container_name=self._container,
            blob_name=put.key,
            account_key=self._account_key,
            permission=self._permission,
            expiry=datetime.fromtimestamp(put.expires_at, UTC),
            protocol="https" if self._base.startswith("https:") else None,
            encryption_scope=self._encryption_scope if put.encrypt else None,
        )
        headers = {"Content-Type": put.content_type, "x-ms-blob-type": "BlockBlob"}
        return SignedPut(url=f"{self._base}{quote(put.key, safe='/~')}?{sas}", headers=headers)

    def refresh(self) -> None:
        """Do nothing: the account's key signs by itself."""
