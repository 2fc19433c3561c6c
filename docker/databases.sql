-- Run once by PostgreSQL's image, in psql: a database each, and a role that can open no other.
-- The vault is apart: who may read the catalog cannot read who anybody is.
\set airflow_password `cat /run/secrets/airflow_password`
\set catalog_password `cat /run/secrets/catalog_password`
\set vault_password `cat /run/secrets/vault_password`
\set mlflow_password `cat /run/secrets/mlflow_password`

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE catalog LOGIN PASSWORD :'catalog_password';
CREATE ROLE vault LOGIN PASSWORD :'vault_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';

CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE catalog OWNER catalog;
CREATE DATABASE vault OWNER vault;
CREATE DATABASE mlflow OWNER mlflow;

REVOKE CONNECT, TEMPORARY ON DATABASE airflow, catalog, vault, mlflow FROM PUBLIC;
