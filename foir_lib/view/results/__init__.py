"""What stands behind the results of a page: one of them enlarged, a list as a file, where descriptors look; no widget."""
