"""Where pictures come from: one file per kind of source, behind the `Source` protocol of `base`."""
