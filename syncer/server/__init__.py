"""`syncer serve`: a folder offered to other machines over HTTP, by keys.

A thin skin over `stores.folder`: nothing here writes, renames or deletes in the served folder by other
means. `served` is the folder, `keys` and `gate` say who may, `api` speaks SmartFile's protocol,
`extension` Syncer's own, `running` and `protocol` hold the connections.
"""
