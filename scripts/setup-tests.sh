#!/usr/bin/env bash
# What only the tests need: a browser, from npm the accessibility checker and the type checker of the page's script, and
# LibreOffice, which opens the bundled tasks' documents.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v soffice >/dev/null || missing+=(libreoffice-writer-nogui libreoffice-calc-nogui)
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "setup: installing ${missing[*]}" >&2
    { apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } >&2
  else
    echo "setup: the tests need ${missing[*]}: install them" >&2
    exit 2
  fi
fi

stamp=tests/browser/node_modules/.installed
wanted=$(cat tests/browser/package-lock.json scripts/setup-tests.sh | sha256sum | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0
npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error >&2
echo "$wanted" > "$stamp"
