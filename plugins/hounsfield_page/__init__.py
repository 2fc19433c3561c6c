"""The Hounsfield page: studies by pseudonym, and the life of each, inside Airflow's UI."""
