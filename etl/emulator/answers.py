"""What the service may say: answers, and every shape that its errors are known to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

Delivery = Literal["whole", "short", "reset"]


@dataclass(frozen=True)
class Answer:
    """One answer; `delivery` says whether all of it arrives.

    A header that is set to "" is not sent, not even Date or Content-Type, which otherwise are.
    `short` sends half the body under the full Content-Length and closes; `reset` resets instead.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = "whole"
    wait_seconds: float = 0.0

    def halved(self) -> Answer:
        """The first half of the body, under a Content-Length that fits it."""
        return replace(self, body=self.body[: len(self.body) // 2])


class Declined(Exception):
    """The request is answered with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def of_json(status: int, value: Any, **headers: str) -> Answer:
    """An answer whose body is the value as JSON; header names are given with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, orjson.dumps(value), named)


def modelarts(status: int, code: str, message: str) -> Answer:
    """The general shape: error_code and error_msg."""
    return of_json(status, {"error_code": code, "error_msg": message})


def demanager(status: int, code: str, message: str) -> Answer:
    """The shape of the development environment pages: error_code and error_message."""
    return of_json(status, {"error_code": code, "error_message": message})


def gateway(status: int, code: str, message: str) -> Answer:
    """The shape of the API gateway: error_code, error_msg and request_id."""
    request_id = "9d2a1c0f6b7e4d8f91a3c5e7b9d1f3a5"
    return of_json(status, {"error_msg": message, "error_code": code, "request_id": request_id})


def iam(status: int, message: str, title: str) -> Answer:
    """The shape of IAM: an object `error` with code, message and title."""
    return of_json(status, {"error": {"code": status, "message": message, "title": title}})


NO_TOKEN = modelarts(401, "ModelArts.0201", "The request carries no token.")
TOKEN_EXPIRED = modelarts(401, "ModelArts.0202", "The token has expired.")
TOKEN_INVALID = gateway(401, "APIGW.0301", "Incorrect IAM authentication information.")
TOKEN_TO_UPDATE = gateway(401, "APIGW.0307", "The token must be updated.")
SIGNATURE_WRONG = gateway(
    401, "APIGW.0301", "Incorrect IAM authentication information: verify aksk signature fail"
)
SIGNATURE_EXPIRED = gateway(401, "APIGW.0303", "Incorrect app authentication information: signature expired")
KEY_LOCKED = gateway(401, "APIGW.0303", "Incorrect app authentication information: the access key is locked")
PROJECT_MISMATCH = modelarts(403, "ModelArts.0210", "The project is not that of the token.")
NOT_PUBLISHED = gateway(404, "APIGW.0101", "The API does not exist or is not published.")
IAM_REFUSED = iam(401, "The username or password is wrong.", "Unauthorized")
IAM_MALFORMED = iam(400, "The request body is invalid.", "Bad Request")

HTML_502 = Answer(
    502,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
    {"Content-Type": "text/html"},
)
POLICY = "policy ip over ratelimit,limit:5,time:1 minute"
THROTTLED_TEXT = f"The throttling threshold has been reached: {POLICY}"

# Every error body that a client of this service has to understand, by the name of its shape.
ERRORS: dict[str, Answer] = {
    "modelarts": modelarts(500, "ModelArts.0010", "Internal error."),
    "demanager": demanager(400, "ModelArts.6309", "The instance does not exist."),
    "gateway": gateway(503, "APIGW.0613", "The IAM service is unavailable."),
    "gateway_timeout": gateway(504, "APIGW.0201", "Backend timeout."),
    "iam": IAM_REFUSED,
    "camel": of_json(500, {"errorCode": "ModelArts.6102", "errorMsg": "Internal error."}),
    "plain": of_json(500, {"code": "ModelArts.6200", "message": "Internal error."}),
    "nested": of_json(500, {"error": {"error_code": "ModelArts.6699", "error_msg": "Busy."}}),
    "html": HTML_502,
    "empty": Answer(503, b""),
    "ok_with_error_code": modelarts(200, "ModelArts.6361", "Internal error."),
    "token_in_body": modelarts(200, "ModelArts.6401", "The token has expired."),
    "token_expired": TOKEN_EXPIRED,
    "token_invalid": TOKEN_INVALID,
    "token_to_update": TOKEN_TO_UPDATE,
    "no_permission": modelarts(403, "ModelArts.0112", "The policy does not allow it."),
    "not_published": NOT_PUBLISHED,
    "frozen": demanager(400, "ModelArts.6326", "The account is in arrears."),
    "busy": modelarts(429, "ModelArts.6101", "The system is busy."),
    "throttled": gateway(429, "APIG.0308", THROTTLED_TEXT),
    "headers_too_large": gateway(494, "APIGW.0201", "The request headers are too large."),
    "timeout": modelarts(408, "ModelArts.6100", "The request timed out."),
}
