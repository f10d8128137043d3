"""Orange Cloud as a store: items by id, no hash, no precondition, dates of whole seconds, tokens that expire.

`store` implements the contract; `oauth` and `token` are also used by `syncer login`. Nothing here is
imported before a job needs it.
"""
