#!/bin/sh
# Makes .venv from the lock, for this machine. Once for each release and host.
#
# What a lock asks for is installed once for each host and linked into each release that has the same lock: a release
# that brings the same packages is prepared in a moment. Its programs are run as modules (`python -m`), because a
# linked .venv is not where it was made.
set -eu
cd "$(dirname "$0")"

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'

# A release is prepared with a home of its own. What was made before is in that of whoever runs this.
home=$(getent passwd "$(id -u)" | cut -d: -f6)
export XDG_CACHE_HOME="${XDG_CACHE_HOME:-${home:-$HOME}/.cache}"
kept="$XDG_CACHE_HOME/omnilife"
made="$kept/$({ python3 -VV; cat requirements.lock; } | sha256sum | cut -c 1-32)"
mkdir -p "$kept"

if ! [ -d "$made" ]; then
    new=$(mktemp -d "$kept/new-XXXXXX")
    trap 'rm -rf "$new"' EXIT
    python3 -m venv "$new"
    "$new/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements.lock
    # Somebody else may have been faster.
    mv -T "$new" "$made" 2>/dev/null || [ -d "$made" ]
fi
touch "$made"
rm -rf .venv
cp -al "$made" .venv 2>/dev/null || { rm -rf .venv; cp -a "$made" .venv; }
find "$kept" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
