"""Airflow's verbs for the stages of hounsfield: settings, one domain call, a small dict."""
