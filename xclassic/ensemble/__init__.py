"""Estimators that combine several models into one."""
