"""`GET /v1/openapi.json`: the machine door and the feed behind it, as OpenAPI 3.1.

Made of the same table that decides calls (`apikeys.routes`): no route can be forgotten in it, nor
can its methods or scopes be others. Why it is open to everybody stands in docs/decisions/.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from apikeys.edge.answers import Answer, refusal
from apikeys.edge.formats import Format
from apikeys.edge.shapes import FRAMES, SCHEMAS, TOLD, Told, ref, structure
from apikeys.refusals import method_not_allowed
from apikeys.routes import ROUTES, Route

ROUTE = Route("/v1/openapi.json")
PATH = ROUTE.template.encode("ascii")

Object = dict[str, Any]

# Each refusal: its name among the responses, what it means, its codes.
REFUSALS: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    401: ("NoKey", "No key, or more than one.", ("key_missing", "key_ambiguous")),
    403: (
        "Refused",
        "The key is not alive, or may not make this call.",
        (
            "key_invalid",
            "key_revoked",
            "tenant_suspended",
            "ip_not_allowed",
            "sport_not_allowed",
            "scope_not_granted",
        ),
    ),
    404: ("NotFound", "There is no such thing.", ("not_found",)),
    405: (
        "OtherMethod",
        "Asked with a method that this path does not have.",
        ("method_not_allowed",),
    ),
    406: ("OtherFormat", "Neither JSON nor XML was asked for.", ("not_acceptable",)),
    429: (
        "TooMany",
        "Over the limit of the key, or of the tenant's WebSockets.",
        ("rate_limited", "too_many_streams"),
    ),
    503: ("Unavailable", "The key could not be checked just now.", ("unavailable",)),
}
# On what was held against the limit, unless Redis could not be asked.
_COUNTED = ("RateLimit", "RateLimit-Policy")
_MORE_HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    404: _COUNTED,
    405: ("Allow",),
    406: _COUNTED,
    429: ("Retry-After", *_COUNTED),
    503: ("Retry-After",),
}


def tell_openapi(method: str, chosen: Format | None, request_id: str) -> Answer:
    """The document, which is JSON whatever is asked for; or 405, as any is refused."""
    if method not in ROUTE.methods:
        return refusal(method_not_allowed(ROUTE), chosen, request_id)
    body = _rendered()
    headers = [
        (b"content-type", Format.JSON.content_type),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode("ascii")),
    ]
    return Answer(200, headers, body)


@lru_cache(maxsize=1)
def _rendered() -> bytes:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


def document() -> Object:
    """The whole of it."""
    paths: Object = {
        ROUTE.template: {
            method.lower(): _own_operation(has_body=method != "HEAD") for method in ROUTE.methods
        }
    }
    for route in ROUTES:
        paths[route.template] = _path(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Odds feed",
            "version": "1",
            "description": (
                "Every call carries an API key, made in the client portal. Answers are JSON or "
                "XML, as `Accept` asks; XML is the JSON, element for member."
            ),
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "paths": paths,
        "components": _components(),
    }


def _components() -> Object:
    return {
        "securitySchemes": {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "StreamKey": {
                "type": "apiKey",
                "in": "query",
                "name": "api_key",
                "description": "For WebSockets alone: browsers cannot set headers there.",
            },
        },
        "schemas": {**SCHEMAS, "Error": _error(), "Frame": _frame()},
        "responses": {name: _refusal(status) for status, (name, _, _) in REFUSALS.items()},
        "headers": _headers(),
        "parameters": {"id": _id("id"), "match_id": _id("match_id")},
    }


def _path(route: Route) -> Object:
    told = TOLD[
        route.template.removeprefix(f"/{route.sport}/v1") if route.sport else route.template
    ]
    names = [part[1:-1] for part in route.template.split("/") if part.startswith("{")]
    parameters = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    operations = {
        method.lower(): _operation(route, told, has_body=method != "HEAD")
        for method in route.methods
    }
    return {**({"parameters": parameters} if parameters else {}), **operations}


def _operation(route: Route, told: Told, *, has_body: bool) -> Object:
    refusals = [status for status in REFUSALS if route.sport or status != 404]
    answers: Object = {
        str(status): {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
        for status in refusals
    }
    if route.is_stream:
        answers["101"] = {"description": "The WebSocket is open; each message is a Frame, in JSON."}
    else:
        answers["200"] = {
            "description": told.summary,
            "headers": _refs("headers", ["X-Request-Id", "Cache-Control", *_COUNTED]),
            **({"content": _content(_root("response", {"data": told.data}))} if has_body else {}),
        }
    about: Object = {
        "summary": told.summary,
        "operationId": _operation_id(route, has_body=has_body),
        "responses": dict(sorted(answers.items())),
    }
    if route.scopes:
        about["description"] = f"Needs {' or '.join(f'`{scope}`' for scope in route.scopes)}."
    if route.is_stream:
        about["security"] = [{"StreamKey": []}, {"ApiKey": []}]
    if told.query:
        about["parameters"] = [
            {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
            for name, meaning in told.query.items()
        ]
    return about


def _own_operation(*, has_body: bool) -> Object:
    content = {"content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "summary": "This document",
        "operationId": _operation_id(ROUTE, has_body=has_body),
        "security": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "headers": _refs("headers", ["X-Request-Id", "Cache-Control"]),
                **(content if has_body else {}),
            },
            "405": {"$ref": "#/components/responses/OtherMethod"},
        },
    }


def _operation_id(route: Route, *, has_body: bool) -> str:
    words = [part.strip("{}") for part in route.template.split("/") if part not in ("", "v1")]
    return "_".join([*words, *([] if has_body else ["head"])])


def _refusal(status: int) -> Object:
    _, description, codes = REFUSALS[status]
    narrowed = {"properties": {"code": {"enum": list(codes)}}}
    return {
        "description": description,
        "headers": _refs(
            "headers", ["X-Request-Id", "Cache-Control", *_MORE_HEADERS.get(status, ())]
        ),
        "content": _content({"allOf": [ref("Error"), narrowed], "xml": {"name": "error"}}),
    }


def _error() -> Object:
    codes = [code for _, _, codes in REFUSALS.values() for code in codes]
    members: Object = {
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "enum": codes},
        "request_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    return _root("error", members)


def _frame() -> Object:
    """Which `data` belongs to which `type`."""
    meta = structure(
        {"ts": {"type": "string", "format": "date-time"}, "seq": {"type": "integer", "minimum": 1}}
    )
    kinds = [
        structure({"type": {"const": kind}, "data": data, "meta": meta})
        for kind, data in FRAMES.items()
    ]
    return {"oneOf": kinds}


def _root(name: str, members: Mapping[str, Object]) -> Object:
    """The outermost object. name: of the element that it is in XML."""
    return {**structure(members), "additionalProperties": False, "xml": {"name": name}}


def _content(schema: Object) -> Object:
    return {each.value: {"schema": schema} for each in Format}


def _headers() -> Object:
    def header(description: str, schema: Object, *, is_required: bool = True) -> Object:
        return {"description": description, "required": is_required, "schema": schema}

    text = {"type": "string"}
    return {
        "X-Request-Id": header("Name it when you ask us.", {**text, "pattern": "^[0-9a-f]{32}$"}),
        "Cache-Control": header("Nobody may keep it.", {"const": "no-store"}),
        "RateLimit": header("What is left, and when more will be.", text, is_required=False),
        "RateLimit-Policy": header("How many calls in how many seconds.", text, is_required=False),
        "Retry-After": header("Seconds.", {"type": "integer", "minimum": 1}, is_required=False),
        "Allow": header("The methods that the path has.", text),
        "WWW-Authenticate": header("What kind of proof is asked for.", {"const": "ApiKey"}),
    }


def _id(name: str) -> Object:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {
            "type": "string",
            "pattern": "^[0-9A-Za-z._~:-]{1,128}$",
            "not": {"enum": [".", ".."]},
        },
    }


def _refs(kind: str, names: Iterable[str]) -> Object:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}
