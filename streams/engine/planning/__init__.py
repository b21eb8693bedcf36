"""The plan of a micro-batch: which events apply, to which row of which user, and in which waves they are stepped.

The room reads the arena and changes nothing in it.
"""
