"""`syncer service`: installs the daemon as a service of the user's session, on systemd and launchd.

`spec.ServiceSpec` describes the service; `systemd` and `launchd` make the text of its definition and the
commands of the service manager; `unit_file` writes the file and keeps manual changes; `installer` runs it
all.
"""
