#!/bin/sh
# Makes .venv from the lock, for this machine: by uv where it is at hand, else by pip. Once for each release and host.
set -eu
cd "$(dirname "$0")"

# A release is prepared with a home of its own. What was downloaded before is in that of whoever runs this.
home=$(getent passwd "$(id -u)" | cut -d: -f6)
export XDG_CACHE_HOME="${XDG_CACHE_HOME:-${home:-$HOME}/.cache}"
PATH="$PATH:${home:-$HOME}/.local/bin"

if command -v uv >/dev/null; then
    uv venv --quiet --clear --no-python-downloads --python '>=3.11' .venv
    uv pip install --quiet --python .venv --require-hashes --requirement requirements.lock
else
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
    python3 -m venv --clear .venv
    .venv/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --require-hashes --requirement requirements.lock
fi
