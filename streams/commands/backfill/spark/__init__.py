"""`thalweg backfill --spark`: steps a history on a cluster of Spark.

`pieces.py` says which task reads what, and `groups.py` steps a group of users in one task. Both are pure. `job.py` runs
them on Spark, and `java.py` finds a Java runtime. PySpark belongs to the extra `spark`, so other rooms import the
modules of this room only when a master is named.
"""
