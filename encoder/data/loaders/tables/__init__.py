"""Log formats that are tables: text with separated cells, and Parquet. The rows are read one by one."""
