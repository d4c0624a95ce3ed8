"""Runs of Airbyte's low-code CDK: `python -m bench.rivals.airbyte_runs` is told of services in lines of JSON.

It answers each with the ids of the records that it emitted, and with the error that it ended with, if any.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

NAME = "instances"
MODES = [SyncMode.full_refresh]


def manifest(told: dict[str, Any]) -> dict[str, Any]:
    """The connector: the listing by offset and limit, with the defaults of the CDK."""

    def parameter(name: str) -> dict[str, str]:
        return {"type": "RequestOption", "inject_into": "request_parameter", "field_name": name}

    requester = {
        "type": "HttpRequester",
        "url_base": told["endpoint"],
        "path": f"/v1/{told['project_id']}/demanager/instances",
        "http_method": "GET",
        "request_headers": {"X-Auth-Token": told["token"]},
        "request_parameters": {"de_type": "Notebook", "show_self": "false"}
        | {"sortby": "creation_timestamp", "order": "asc"},
    }
    paginator = {
        "type": "DefaultPaginator",
        "page_token_option": parameter("offset"),
        "page_size_option": parameter("limit"),
        "pagination_strategy": {
            "type": "OffsetIncrement",
            "page_size": told["limit"],
            "inject_on_first_request": True,
        },
    }
    retriever = {
        "type": "SimpleRetriever",
        "requester": requester,
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["instances"]},
        },
        "paginator": paginator,
    }
    stream = {
        "type": "DeclarativeStream",
        "name": NAME,
        "primary_key": "id",
        "retriever": retriever,
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
    }
    return {
        "version": "7.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": [NAME]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def read(told: dict[str, Any]) -> dict[str, Any]:
    """What one run emits, and how it ends."""
    stream = AirbyteStream(name=NAME, json_schema={}, supported_sync_modes=MODES)
    catalog = ConfiguredAirbyteCatalog(
        streams=[ConfiguredAirbyteStream(stream, SyncMode.full_refresh, DestinationSyncMode.overwrite)]
    )
    source = ConcurrentDeclarativeSource(catalog, {}, [], source_config=manifest(told))
    ids: list[str] = []
    try:
        for message in source.read(logging.getLogger("airbyte"), {}, catalog, []):
            if message.type == Type.RECORD:
                ids.append(message.record.data["id"])
            if len(ids) > told["most"]:
                return {"ids": ids, "error": "it does not end"}
    except Exception as error:
        return {"ids": ids, "error": " ".join(f"{type(error).__name__}: {error}".split())[:2000]}
    return {"ids": ids, "error": ""}


def apart(told: dict[str, Any]) -> int:
    """Read in a process of its own, since a run that does not end cannot be told to; give that process."""
    sys.stdout.flush()
    process = os.fork()
    if not process:
        # The CDK writes messages of its own, to both outputs.
        with os.fdopen(os.dup(1), "w") as answer, open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            answer.write(json.dumps(read(told)) + "\n")
            answer.flush()
            os._exit(0)
    return process


def main() -> None:
    """Do what is asked, a line each, until there are no more."""
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        os.waitpid(apart(json.loads(line)), 0)


if __name__ == "__main__":
    main()
