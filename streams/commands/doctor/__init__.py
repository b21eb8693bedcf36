"""`thalweg doctor`: prints the settings and checks everything that a worker needs.

Each module of checks has one subject and yields findings. The package may import every package of `streams` that a
worker needs, and changes nothing: no check creates a topic, a table or a file.
"""
