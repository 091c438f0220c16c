"""A tenant as people type it: its name as every list shows it, or as it is, without percent-encoding."""

from apidanalytics.layout import format_tenant, parse_tenant


def encoded(text: str) -> str:
    """Return the name as it is in lists and directories; what is no tenant's name stays as it is."""
    try:
        return format_tenant(*parse_tenant(text))
    except ValueError:
        return text
