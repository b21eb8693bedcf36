"""The encoder's subcommands of `thalweg`."""
