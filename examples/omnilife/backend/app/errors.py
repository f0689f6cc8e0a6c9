"""Errors as people and programs get them: `{"error": {"code", "message", "fields"?}}`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

CODES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    422: "validation_failed",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}

# By pydantic's name of the fault.
WORDS = {
    "missing": "Is required.",
    "string_type": "Must be a text.",
    "string_too_long": "Must have at most {max_length} characters.",
    "string_unicode": "Is no valid text.",
    "int_parsing": "Must be a whole number.",
    "int_type": "Must be a whole number.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than_equal": "Must be at most {le}.",
    "extra_forbidden": "Is not known here.",
    "model_attributes_type": "Must be an object.",
    "dict_type": "Must be an object.",
}


class ApiError(HTTPException):
    """What ends a request early. `fields` says what is wrong with which field."""

    def __init__(
        self, status: int, message: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.fields = fields


def not_found(what: str) -> ApiError:
    return ApiError(404, f"There is no such {what}.")


def wrong_field(name: str, message: str) -> ApiError:
    return ApiError(422, "Some fields are not right.", {name: message})


def answer(
    status: int, message: str, fields: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    error: dict[str, Any] = {"code": CODES.get(status, "error"), "message": message}
    if fields:
        error["fields"] = fields
    return JSONResponse({"error": error}, status, headers=headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, _database)


async def _http(_request: Request, raised: Exception) -> JSONResponse:
    error = cast(HTTPException, raised)
    fields = error.fields if isinstance(error, ApiError) else None
    message = error.detail if isinstance(error, ApiError) else f"{error.detail}."
    return answer(error.status_code, message, fields, error.headers)


async def _validation(_request: Request, raised: Exception) -> JSONResponse:
    error = cast(RequestValidationError, raised)
    faults: Sequence[Any] = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(400, "The body is no valid JSON.")
    return answer(422, "Some fields are not right.", {_field(fault): _words(fault) for fault in faults})


async def _database(_request: Request, _error: Exception) -> JSONResponse:
    return answer(503, "The database does not answer. Try again in a moment.", headers={"Retry-After": "1"})


def _field(fault: Any) -> str:
    """("body", "name") is `name`; ("body",) is the body as a whole."""
    place = [str(part) for part in fault["loc"]]
    return ".".join(place[1:]) or "body"


def _words(fault: Any) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "string_too_short":
        least = context["min_length"]
        return "Must not be empty." if least == 1 else f"Must have at least {least} characters."
    if fault["type"] == "value_error":
        return str(context["error"])
    words = WORDS.get(fault["type"])
    return words.format(**context) if words else f"{fault['msg']}."
