#!/usr/bin/env bash
# Makes what is missing in ./secrets; what is there stays, so that nothing is locked out.
#
# The folder is for its owner alone. The files in it are not: compose hands them into the
# containers with the permissions they have here, to a user of another number.
set -euo pipefail

folder=${1:-"$(cd "$(dirname "$0")" && pwd)/secrets"}
mkdir -p "$folder"
chmod 700 "$folder"

# keep NAME VALUE: writes the secret, unless there is one of that name.
keep() {
  [ -s "$folder/$1" ] || (umask 022 && printf '%s\n' "$2" > "$folder/$1")
}

hexadecimal() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

keep project_key "$(hexadecimal)"
keep fernet_key "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
keep api_secret_key "$(hexadecimal)"
keep jwt_secret "$(hexadecimal)"
keep admin_password "$(hexadecimal | head -c 20)"
keep receiver_password "$(hexadecimal)"
keep postgres_password "$(hexadecimal)"

# A database each, with a role that can open no other.
for name in airflow catalog vault mlflow; do
  keep "${name}_password" "$(hexadecimal)"
  keep "${name}_database" \
    "postgresql+psycopg2://$name:$(< "$folder/${name}_password")@postgres:5432/$name"
done
keep celery_result_backend "db+postgresql://airflow:$(< "$folder/airflow_password")@postgres:5432/airflow"

echo "Secrets are in $folder. Keep a copy of project_key elsewhere: without it nobody can tell"
echo "whose a study is."
