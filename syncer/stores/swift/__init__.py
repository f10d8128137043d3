"""Swift v1 object storage as a store: OpenStack Swift, Ceph RGW and what stands in front of them.

Here: the store and the doors to it. Not here: which account leads to which door (`syncer.jobs`).
"""
