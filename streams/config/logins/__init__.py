"""How a client proves who the client is, beyond a password: certificates, tokens, and the sessions that end.

This room imports settings and errors alone of Thalweg, and of the client libraries what their logins consist of.
"""
