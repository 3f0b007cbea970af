"""A built graph that runs, resumes and survives a damaged picture."""
