"""Reads tables by columns, with pyarrow. Rows that need more than a check of a whole column are read one by one."""
