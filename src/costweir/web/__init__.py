"""The embedded web UI and the read API, one ASGI app. Shows Answers and adds nothing up."""
