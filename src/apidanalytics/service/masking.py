"""What is masked in records, from the settings and the file of the key."""

from hashlib import sha256
from typing import Final

from apidanalytics.config import Settings
from apidanalytics.errors import ConfigurationError
from apidanalytics.ingest.mask import Mask

LEAST_KEY_BYTES: Final = 16


def read_mask_key(settings: Settings) -> bytes:
    """Return the key; empty if there is none.

    Raises:
        ConfigurationError: its file cannot be read, or it is too short.

    """
    if settings.mask_key_file is None:
        return b""
    try:
        key = settings.mask_key_file.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError([f"apidanalytics_mask_key_file: cannot be read: {error.strerror}"]) from error
    if len(key) < LEAST_KEY_BYTES:
        what = f"should hold at least {LEAST_KEY_BYTES} bytes, such as `openssl rand -hex 32` gives"
        raise ConfigurationError([f"apidanalytics_mask_key_file: {what}"])
    return key


def mask(settings: Settings, key: bytes) -> Mask | None:
    """Return what masks records; None: nothing is to be masked."""
    return Mask(settings.mask, key, max_members=settings.max_record_members) if settings.mask else None


def mark_secret(settings: Settings, key: bytes) -> bytes:
    """Return the key for hashes of bodies, in which what is masked stands in clear; empty where nothing is masked."""
    return sha256(b"idempotency\0" + key).digest() if settings.mask and key else b""
