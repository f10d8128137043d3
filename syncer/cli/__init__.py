"""The command line: one module for each group of commands; they parse, call and render.

No decision about files is taken here. Modules are imported only when their command is
called, so that `syncer --help` answers at once.
"""
