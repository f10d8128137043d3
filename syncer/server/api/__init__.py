"""SmartFile's API, versions 2 and 3, as far as a client that syncs uses it. Starts at `routes`."""
