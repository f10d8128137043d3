"""Speed and memory of Syncer beside its peers, in one run on one machine (`make bench`).

Reads: `budgets` (what is promised), `cases_*` (what is measured), `contest` (how), `trees` (on
what), `syncers` and `peers` (whom), `table` and `report` (how it is told). Everything is
measured from outside, on whole processes; nothing here is imported by Syncer, and
no test asserts a time.
"""
