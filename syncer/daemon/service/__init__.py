"""`syncer service`: the daemon as a service of the user's session, on systemd and on launchd.

What is to run is a value (`values.Wanted`); `systemd` and `launchd` turn it into the text of a definition
and into the commands that make it known; `unit_file` keeps what a person
changed by hand; `installer` does it.
"""
