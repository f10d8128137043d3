"""Swift v1 object storage as a store: OpenStack Swift, Ceph RGW and what stands in front of them.

`auth` has the logins; `syncer.accounts` decides which account uses which.
"""
