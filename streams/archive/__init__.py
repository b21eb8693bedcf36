"""The archive of the behaviour topic: Parquet files that hold what each record decodes to.

`layout.py` names the files, `schema.py` the columns. `reader.py` reads an archive, `writer.py` adds segments, and
`removal.py` takes a user out. The room knows pyarrow and s3fs, and neither Kafka nor Cassandra. Pyarrow belongs
to the extra `archive`, so other rooms import the modules of this room only when an archive is named.
"""
