"""Stand-ins for services that are closed, paid for or far away; each speaks real HTTP on loopback.

`serving` runs an app, `faults` makes it misbehave and keeps the log of requests, `proxy` counts
and cuts the bytes between. They import nothing of the program under test.
"""
