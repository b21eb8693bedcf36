"""`thalweg setup`: makes topics, rights, keyspace and tables beforehand, or prints a script that makes them.

`plan.py` says what is needed, without input and output. `script.py` writes the plan as a shell script.
`kafka_setup.py` and `cassandra_setup.py` make what is missing with an administrator's login.
"""
