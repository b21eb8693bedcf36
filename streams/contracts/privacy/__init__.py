"""Pseudonyms of users, and encrypted originals of dead letters."""
