"""HTTP as every service's client here uses it: bounded answers, counted tries, failures in words.

`adapter` sends and logs, `content` reads what comes back within bounds, `failures` says why the network
failed, `origins` which addresses secrets may go to. What a status means to a store is each service's own
affair.
"""
