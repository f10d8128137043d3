"""Static large objects: segments, manifests, layouts, and the removal of orphans."""
