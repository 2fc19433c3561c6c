#!/usr/bin/env bash
# Reads secrets from files (NAME_FILE becomes NAME), and hands on the digest of the Dag bundle.
set -euo pipefail

for variable in $(compgen -e | grep '_FILE$' || true); do
  name=${variable%_FILE}
  case $name in
    # What the programs read themselves: a path is meant, not a secret's text.
    HOUNSFIELD_KEY | AIRFLOW__FAB__CONFIG | AIRFLOW__API__SSL_CA) continue ;;
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS) continue ;;
    AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE) continue ;;
    AIRFLOW__* | HOUNSFIELD_* | MLFLOW_* | AWS_ACCESS_KEY_ID | AWS_SECRET_ACCESS_KEY) ;;
    *) continue ;;
  esac
  if [ ! -r "${!variable}" ]; then
    echo "the secret that $variable names cannot be read" >&2
    exit 1
  fi
  export "$name=$(< "${!variable}")"
done

HOUNSFIELD_BUNDLE_DIGEST=$(< "$HOUNSFIELD_ROOT/bundle.sha256")
export HOUNSFIELD_BUNDLE_DIGEST

exec "$@"
