"""Signed URLs for S3 and everything that speaks it, by botocore (``apidanalytics[s3]``).

The signature covers host, key, expiry, content type, and where they are asked for encryption and create-only: a PUT
that changes or leaves out one of these headers is refused.

botocore's own ``generate_presigned_url`` would do the same in twice the time, since it works out the address anew for
each URL, and it may fetch instance credentials in the middle: here it tells the bucket's address once, its signer
signs what ``s3_form`` fills in, and credentials are fetched by ``refresh`` alone.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from apidanalytics.collection.ports import Put, SignedPut, StoreUnavailableError
from apidanalytics.collection.s3_form import SignedForm

ENCRYPTION: Final = "x-amz-server-side-encryption"

_MOST_FORMS: Final = 64
"""As many as there are content types and expiries, which the configuration names."""


class S3Store:
    """One bucket."""

    def __init__(
        self,
        *,
        bucket: str,
        region: str,
        endpoint: str | None = None,
        addressing: str = "virtual",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        create_only: bool = False,
    ) -> None:
        """Get ready; without a key pair the credentials are those of the environment or the instance.

        Raises:
            ValueError: there is no such region, or the endpoint is no URL.

        """
        self._region = region
        self._create_only = create_only
        self._session = Session()
        self._credentials: Any = None
        self._forms: dict[tuple[str, bool, int], SignedForm] = {}
        if access_key_id and secret_access_key:
            self._session.set_credentials(access_key_id, secret_access_key)
        try:
            self._base = _address(bucket, region, endpoint, addressing)
        except (BotoCoreError, ValueError) as error:
            raise ValueError(str(error)) from error

    def __repr__(self) -> str:
        return f"<S3Store {self._base}>"

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers."""
        if self._credentials is None:
            raise StoreUnavailableError("no credentials")
        headers = self._headers(put)
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(put.asked_at))
        return SignedPut(url=self._form(put, headers, at).url(put.key, at), headers=headers)

    def refresh(self) -> None:
        """Look for credentials: the configured ones, the environment's, the instance's."""
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise StoreUnavailableError(
                    "no credentials: give access_key_id and secret_access_key, or let the environment have some"
                )
            # When they are about to expire, botocore fetches new ones here.
            fresh = credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise StoreUnavailableError(f"no credentials: {error}") from error
        if fresh != self._credentials:
            self._credentials = fresh
            self._forms = {}

    def _form(self, put: Put, headers: Mapping[str, str], at: str) -> SignedForm:
        asked = (put.content_type, put.encrypt, put.expires_seconds)
        # The forms before the credentials: ``refresh``, in its thread, puts them in place the other way round, so no
        # form of the old ones stands among those of the new ones.
        forms, credentials = self._forms, self._credentials
        form = forms.get(asked)
        if form is None or form.day != at[:8]:
            if len(forms) >= _MOST_FORMS:
                forms.clear()
            form = SignedForm(
                self._base,
                headers,
                credentials=credentials,
                region=self._region,
                expires_seconds=put.expires_seconds,
                at=at,
            )
            forms[asked] = form
        return form

    def _headers(self, put: Put) -> dict[str, str]:
        headers = {"Content-Type": put.content_type}
        if put.encrypt:
            headers[ENCRYPTION] = "AES256"
        if self._create_only:
            headers["If-None-Match"] = "*"
        return headers


def _address(bucket: str, region: str, endpoint: str | None, addressing: str) -> str:
    """Return the URL in front of each key. Where a bucket of which region lies is botocore's knowledge."""
    session = Session()
    session.set_credentials("nobody", "nothing")
    config = Config(signature_version="s3v4", s3={"addressing_style": addressing})
    client = session.create_client("s3", region_name=region, endpoint_url=endpoint, config=config)
    probe: str = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    client.close()
    return probe.partition("?")[0].removesuffix("k")
