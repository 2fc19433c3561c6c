#!/usr/bin/env bash
# Makes the databases, the pools, the keys and the first user, or brings them up to date.
set -euo pipefail

airflow db migrate

python - > /tmp/pools.json << 'PYTHON'
import json

from operators.policy import POOLS

rows = {
    name: {"slots": slots, "description": text, "include_deferred": False}
    for name, (slots, text) in POOLS.items()
}
print(json.dumps(rows))
PYTHON
airflow pools import /tmp/pools.json

# make_user NAME ROLE PASSWORD: says so, and is content, where the user is there already.
make_user() {
  airflow users create --username "$1" --role "$2" --password "$3" \
    --firstname "$1" --lastname Hounsfield --email "$1@example.invalid"
}
make_user admin Admin "$HOUNSFIELD_ADMIN_PASSWORD"
# The least of FAB's roles that may announce an event of an asset.
make_user receiver Op "$HOUNSFIELD_RECEIVER_PASSWORD"

hounsfield setup
