"""What stores on a remote service share: `effects` tells whether a change took effect."""
