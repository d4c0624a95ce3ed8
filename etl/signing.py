"""Requests signed with an access key (AK/SK), by Huawei's own signer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from etl.settings import Settings

# The service refuses a signature that is further off than 15 minutes.
NOTABLE_SKEW = timedelta(minutes=5)


class Signature:
    """Signs requests in with an access key; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secrets = [settings.sk, settings.security_token]

    def headers(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """The signature of a request, and the headers that it is over."""
        from huaweicloudsdkcore.sdk_request import SdkRequest
        from huaweicloudsdkcore.signer.signer import Signer

        parts = urlsplit(url)
        headers = {"X-Sdk-Date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"}
        if self.settings.project_id:
            headers["X-Project-Id"] = self.settings.project_id
        if self.settings.security_token:
            headers["X-Security-Token"] = self.settings.security_token
        request = SdkRequest(
            method=method,
            host=parts.netloc,
            resource_path=parts.path or "/",
            query_params=parse_qsl(parts.query, keep_blank_values=True),
            header_params=headers,
            body=body.decode(),
        )
        signed: Mapping[str, str] = Signer(self.settings).sign(request).header_params
        return signed

    def renew(self, refused: Mapping[str, str]) -> bool:
        """False: a refused signature is not tried again, for five of them lock the key."""
        return False

    def advice(self, date: datetime) -> str:
        """What to do when the service, whose clock showed `date`, refuses the signature."""
        skew = skew_of(date, datetime.now(UTC))
        return f"{skew}: set it" if skew else "check DEMETER_AK, DEMETER_SK and DEMETER_SECURITY_TOKEN"


def skew_of(service: datetime, here: datetime) -> str:
    """How far this machine's clock is off, in words; nothing where that does not matter."""
    off = here - service
    if abs(off) < NOTABLE_SKEW:
        return ""
    minutes = round(abs(off) / timedelta(minutes=1))
    length = f"{minutes} minutes" if minutes < 180 else f"{round(minutes / 60)} hours"
    return f"this machine's clock is {length} {'ahead of' if off > timedelta(0) else 'behind'} the service's"
