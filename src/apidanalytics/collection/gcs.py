"""Signed URLs (V4) for Google Cloud Storage, by google-cloud-storage (``apidanalytics[gcs]``).

The signature covers host, key, expiry, content type and create-only. Encryption at rest is the rule there and needs
no header. Nearly all of the time goes into RSA: where that is too much, an ``s3`` store with an HMAC key of the same
bucket (endpoint ``https://storage.googleapis.com``) does without it.

The library works out for each URL what is the same for all of a day; here ``gcs_form`` fills in what is not.
"""

import json
import time
from typing import Any, Final

from google.cloud import storage
from google.oauth2 import service_account

from apidanalytics.collection.gaps import KEY
from apidanalytics.collection.gcs_form import Probe, SignedForm
from apidanalytics.collection.ports import Put, SignedPut

CREATE_ONLY: Final = {"x-goog-if-generation-match": "0"}
"""The object must not exist yet."""

_MOST_FORMS: Final = 64
"""As many as there are content types and expiries, which the configuration names."""


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
        self._account = account
        self._bucket = client.bucket(bucket)
        self._where = {"api_access_endpoint": endpoint} if endpoint else {}
        self._create_only = CREATE_ONLY if create_only else {}
        self._forms: dict[tuple[str, int], SignedForm] = {}

    def __repr__(self) -> str:
        return f"<GcsStore {self._bucket.name}>"

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers."""
        headers = {"Content-Type": put.content_type, **self._create_only}
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(put.asked_at))
        form = self._form(put, headers, at)
        if form is not None and form.day == at[:8]:
            return SignedPut(url=form.url(put.key, at, self._account.sign_bytes), headers=headers)
        # It has become tomorrow since it was asked for, or the library signs in a way of its own, which it knows best.
        return SignedPut(url=self._by_library(put, put.key, self._account), headers=headers)

    def _form(self, put: Put, headers: dict[str, str], at: str) -> SignedForm | None:
        asked = (put.content_type, put.expires_seconds)
        form = self._forms.get(asked)
        if form is None or form.day != at[:8]:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            probe = Probe(self._account.signer_email)
            url = self._by_library(put, KEY, probe)
            try:
                form = SignedForm(url, probe.message, headers)
            except ValueError:
                return None
            self._forms[asked] = form
        return form

    def _by_library(self, put: Put, key: str, credentials: Any) -> str:
        url: str = self._bucket.blob(key).generate_signed_url(
            version="v4",
            method="PUT",
            expiration=put.expires_seconds,
            content_type=put.content_type,
            headers=dict(self._create_only),
            credentials=credentials,
            **self._where,
        )
        return url

    def refresh(self) -> None:
        """Do nothing: the key of a service account signs by itself."""
