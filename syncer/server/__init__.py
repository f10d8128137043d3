"""HTTP server of `syncer serve`: a folder for other machines, accessed with API keys.

Every write, rename and delete in the served folder is a call of `stores.local.store`. `folder` has the
folder, `api_keys` and `auth` the authentication, `api` the SmartFile API, `extension` Syncer's own protocol,
`runner` and `http_protocol` the connections.
"""
