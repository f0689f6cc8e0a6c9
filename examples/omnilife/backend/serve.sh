#!/bin/sh
# Serves on PORT of HOST, which is this machine alone unless told otherwise. On SIGTERM it takes nothing new, finishes what it has begun, and ends within 25 seconds.
set -eu
cd "$(dirname "$0")"
exec .venv/bin/python -m uvicorn app.main:app --host "${HOST:-127.0.0.1}" --port "${PORT:-8001}" \
    --no-access-log --timeout-keep-alive 75 --timeout-graceful-shutdown 25
