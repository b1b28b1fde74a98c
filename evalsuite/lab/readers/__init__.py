"""One module a family of formats; each has `extract(data, extension, changes, depth) -> Contents`."""
