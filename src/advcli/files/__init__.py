"""The two kinds of file: atomic writing, guarded reading, headers, parts."""
