"""S3 object storage (AWS, Ceph, OVH, DreamObjects, MinIO, …): the client, conditions, and the delta layout.

`client` signs and sends, `objects` and `multipart` are the operations, `conditions` finds out which
preconditions a bucket heeds, `delta` plans an upload that sends only what changed.
"""
