"""Readers of labelled photographs."""
