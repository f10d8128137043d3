"""Logging in to the services of the config's accounts, for `syncer login`: one module for each service.

`dispatch` knows which module an account takes, `oauth_redirect` and `oauth_redirect` bring a code back from a
browser, `credentials` is where the stores get what was kept. Not here: how a service wants to be asked (the
stores' own `oauth`, `auth`), and what a person sees of it (`cli`).
"""
