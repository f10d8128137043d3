"""The engine: pure decisions about three trees, and the run that carries them out.

Nothing here imports a store, the state database, the config or the command line.
"""
