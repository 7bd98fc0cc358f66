#!/usr/bin/env bash
# Finds a Python for ./demo and ./test and hands over to tools/launch.py.
set -euo pipefail
unset CDPATH
caller=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# Asked by running it: a name in PATH may be a stub, and Debian ships Pythons without ensurepip.
probe='import sys, venv, ensurepip, ssl; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)'
for name in python3 python3.11 python3.12 python3.13 python3.14 python; do
  if python=$("$name" -c "$probe" 2>/dev/null); then
    exec "$python" -m tools.launch "$caller" "$@"
  fi
done
echo "./$1: needs Python 3.11 or newer with venv and pip, and finds none in PATH" >&2
exit 2
