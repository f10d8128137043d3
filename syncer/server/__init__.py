"""`syncer serve`: a folder offered to other machines over HTTP, by keys.

A thin skin over `stores.local.store`: nothing here writes, renames or deletes in the served folder by other
means. `folder` is the folder, `api_keys` and `auth` say who may, `api` speaks SmartFile's protocol,
`extension` Syncer's own, `runner` and `http_protocol` hold the connections.
"""
