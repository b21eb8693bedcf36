"""`thalweg serve`: the HTTP API for applications that ask for representations and recommendations."""
