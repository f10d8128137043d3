"""Any backend of the user's own rclone, driven over its remote control API (`rclone rcd`, rclone.org/rc).

Credentials and tokens stay in rclone's configuration. Facts about rclone were tried with 1.60.1 and 1.75.2.
"""
