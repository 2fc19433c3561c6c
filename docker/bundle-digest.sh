#!/usr/bin/env bash
# One digest over the code and the settings of a release: bundle-digest.sh FOLDER
set -euo pipefail
export LC_ALL=C # one order of names everywhere

cd "$1"
find dags plugins operators hounsfield models configs -type f \
  -not -path '*/__pycache__/*' -print0 \
  | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
