"""Logging in to the services of the config's accounts, for `syncer login`: one module for each service.

`dispatch` knows which module an account takes, `redirection` and `listener` bring a code back from a
browser, `stored` is where the stores get what was kept. Not here: how a service wants to be asked (the
stores' own `oauth`, `auth`), and what a person sees of it (`cli`).
"""
