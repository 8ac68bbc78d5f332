"""The ground floor: configuration, paths, files and errors. Imports nothing else of bertline."""
