"""Orange Cloud as a store: items by id, no hash, no precondition, dates of whole seconds, tokens that expire.

`store` is the whole of it. `oauth` and `token` are also for whoever logs a person in. Nothing here is
imported before a job needs it.
"""
