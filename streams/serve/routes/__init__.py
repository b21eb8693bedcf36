"""The paths of the API, and the bodies of their requests and answers."""
