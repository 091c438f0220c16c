"""Small parts of the agent that follow from its settings alone."""

from apidanalytics.config import Settings, parse_listen
from apidanalytics.control.channel import Message
from apidanalytics.scopes.database import ScopeDatabase
from apidanalytics.scopes.forms import EXAMPLE, DatabaseForm, YamlForm
from apidanalytics.scopes.source import Published
from apidanalytics.upload.decide import Policy
from apidanalytics.upload.exchange import Proxy
from apidanalytics.upload.token import FixedToken, TokenFile, TokenSource
from apidanalytics.upload.uploader import UploadSettings


def scopes_message(published: Published) -> Message:
    """Return the message that tells a worker which scope data to read."""
    return {"type": "scopes", "version": published.version, "path": str(published.path)}


def tenant_names(published: Published) -> set[str]:
    """Return the names of all tenants in this version of the scope data."""
    database = ScopeDatabase(published.path)
    try:
        return {tenant.name for tenant in database.tenants().by_uuid.values()}
    finally:
        database.close()


def scope_form(settings: Settings, *, embedded: bool) -> YamlForm | DatabaseForm | None:
    """Return where scope data comes from; None when nothing is configured."""
    if settings.scopes_file is not None:
        return YamlForm(path=settings.scopes_file)
    if settings.scopes_database is not None:
        return DatabaseForm(path=settings.scopes_database)
    return YamlForm(path=EXAMPLE) if embedded else None


def host_and_port(listen: str) -> tuple[str, int]:
    """Return host and port of a TCP address."""
    address = parse_listen(listen)
    assert isinstance(address, tuple)  # the setting takes no unix socket
    return address


def token_source(settings: Settings) -> TokenSource:
    """Return where the bearer token comes from."""
    if settings.apigeesync_bearer_token_file is not None:
        return TokenFile(settings.apigeesync_bearer_token_file)
    return FixedToken(settings.apigeesync_bearer_token)


def proxy(settings: Settings) -> Proxy | None:
    """Return the forward proxy, if there is one."""
    if settings.configfwdproxy_url is None or settings.configfwdproxy_port is None:
        return None
    return Proxy(
        scheme=settings.configfwdproxy_prot,
        host=settings.configfwdproxy_url,
        port=settings.configfwdproxy_port,
        user=settings.configfwdproxy_user or "",
        password=settings.configfwdproxy_passwd or "",
    )


def upload_settings(settings: Settings) -> UploadSettings:
    """Return the uploader's settings."""
    return UploadSettings(
        concurrency=settings.upload_concurrency,
        interval_seconds=settings.upload_interval,
        failed_retry_seconds=settings.failed_retry_interval,
        retention_seconds=settings.ledger_retention,
        policy=Policy(attempts=settings.upload_attempts),
    )
