"""HTTP both ways: the client, sessions, middleware, the app that every server is, and how a process serves it."""
