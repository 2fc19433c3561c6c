"""Proving that a study is whole before anything is done with it.

Great Expectations runs the suites of configs/quality over a table of the study's instances;
errors refuse the study, warnings travel with it.
"""
