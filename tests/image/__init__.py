"""The container image and what runs it, tried with a real engine: ``make image``. Not part of ``make test``."""
