"""The log formats of public datasets, as their publishers write them.

Each module describes one dataset and imports only the parts of `encoder.data.loaders` that all formats share.
"""
