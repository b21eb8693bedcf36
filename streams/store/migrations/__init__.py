"""The numbered migrations of a keyspace: files of CQL, and what a program asks about them."""
